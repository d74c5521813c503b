"""The guard's decisions, and the statistics under them."""

from dataclasses import replace

import pytest
from gateway.domain.comparison import (
    PathFigures,
    RunResult,
    both,
    difference,
    figures_of,
    over_time,
    quantile,
    quantile_interval,
    wilson,
)
from gateway.domain.guard import Broken, Evidence, GuardPolicy, GuardState, breach_of, broken_promise, decide
from gateway.domain.path_flag import DURABLE, LEGACY
from hypothesis import given
from hypothesis import strategies as st

POLICY = GuardPolicy(least_runs=50, least_seconds=60, cool_down=300)
NOW = 1_000_000.0


def figures(path: str, runs: int = 100, failed: int = 0, first_text: int = 300, **more: int) -> PathFigures:
    times = tuple(sorted(first_text + number % 20 for number in range(runs)))
    return PathFigures(
        path=path,
        runs=runs,
        ended=runs,
        completed=runs - failed,
        failed=failed,
        first_text_ms=times,
        duration_ms=times,
        **more,  # type: ignore[arg-type]  # counts by name
    )


def evidence(
    durable: PathFigures | None = None, legacy: PathFigures | None = None, gaps: int = 0, doubles: int = 0
) -> Evidence:
    broken = Broken(gaps, doubles)
    return Evidence(durable=durable or figures(DURABLE), legacy=legacy or figures(LEGACY), broken=broken)


def at(share: int, *, good: int = 0, ago: float = 100, **more: object) -> GuardState:
    return replace(GuardState(mode="running", share=share, since=NOW - ago, good=good), **more)  # type: ignore[arg-type]  # by name


# The worked examples of Newcombe (Statistics in Medicine 17, 1998, table II), method 10.
@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((0, 10), (0, 10), -0.2775, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0000),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_the_published_one(
    ours: tuple[int, int], theirs: tuple[int, int], low: float, high: float
) -> None:
    found = difference(ours, theirs)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.integers(0, 500))
def test_the_interval_holds_the_difference_and_turns_with_its_sides(a: int, more_a: int, b: int, more_b: int) -> None:
    ours, theirs = (a, a + more_a), (b, b + more_b)
    found, turned = difference(ours, theirs), difference(theirs, ours)
    if ours[1] and theirs[1]:
        assert found.low - 1e-9 <= a / ours[1] - b / theirs[1] <= found.high + 1e-9
    assert found.low == pytest.approx(-turned.high)
    assert -1 <= found.low <= found.high <= 1
    assert 0 <= wilson(a, ours[1]).low <= wilson(a, ours[1]).high <= 1


@given(st.lists(st.integers(0, 10_000), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_a_value_and_its_interval_is_around_it(values: list[int], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in values
    interval = quantile_interval(ordered, share)
    if interval is not None:
        assert interval.low <= found <= interval.high


def test_too_few_values_say_nothing_about_a_high_quantile() -> None:
    assert quantile_interval([1] * 20, 0.95) is None
    assert quantile_interval(list(range(200)), 0.95) is not None
    assert quantile([], 0.5) is None


def test_a_good_path_goes_step_by_step_to_everybody() -> None:
    state, seen = at(0), []
    now = NOW
    while state.mode == "running":
        decision = decide(state, POLICY, evidence(), now=now)
        assert decision.action in ("advance", "hold")
        state = decision.state
        seen.append(state.share)
        now += 61
    assert seen == [1, 5, 25, 50, 100, 100]
    assert state.mode == "done"


def test_a_step_needs_its_runs_and_its_time() -> None:
    assert decide(at(5, ago=59), POLICY, evidence(), now=NOW).action == "hold"
    few = evidence(figures(DURABLE, 49))
    assert decide(at(5), POLICY, few, now=NOW).action == "hold"
    assert decide(at(5), POLICY, evidence(), now=NOW).action == "advance"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (evidence(figures(DURABLE, 100, failed=30)), "30 of 100 runs failed or stalled"),
        (evidence(figures(DURABLE, 100, stalled=40)), "40 of 140 runs failed or stalled"),
        (evidence(figures(DURABLE, 200, first_text=900), figures(LEGACY, 200)), "the first text takes"),
        (
            evidence(replace(figures(DURABLE, 100), completed=50, cancelled=50)),
            "50 of 100 runs completed",
        ),
        (evidence(figures(DURABLE, 100, failed=40), figures(LEGACY, 0)), "40 of 100 runs failed or stalled"),
    ],
)
def test_a_breach_leads_back_to_the_last_good_share_and_cools_down(found: Evidence, told: str) -> None:
    decision = decide(at(25, good=5), POLICY, found, now=NOW)
    assert decision.action == "roll_back"
    assert told in decision.reason
    assert (decision.state.share, decision.state.mode, decision.state.until) == (5, "cooling", NOW + 300)
    assert decide(decision.state, POLICY, found, now=NOW + 299).action == "hold"
    # Then it goes on from there, with new figures.
    after = decide(decision.state, POLICY, evidence(figures(DURABLE, 0)), now=NOW + 301)
    assert (after.action, after.state.mode, after.state.share) == ("hold", "running", 5)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (evidence(figures(DURABLE, 1, orphans=1)), "1 runs of the durable path were orphaned"),
        (evidence(figures(DURABLE, 0), gaps=1), "1 events out of order"),
        (evidence(figures(DURABLE, 0), doubles=2), "2 events twice"),
    ],
)
def test_one_broken_promise_stops_the_rollout_until_a_person_goes_on(found: Evidence, told: str) -> None:
    decision = decide(at(25, good=5), POLICY, found, now=NOW)
    assert (decision.action, decision.state.share, decision.state.mode) == ("roll_back", 5, "paused")
    assert told in decision.reason
    assert decide(decision.state, POLICY, evidence(), now=NOW + 10_000).action == "hold"


def test_chance_is_no_breach() -> None:
    assert breach_of(evidence(figures(DURABLE, 100, failed=3), figures(LEGACY, 100, failed=1)), POLICY) == ""
    assert breach_of(evidence(figures(DURABLE, 10, failed=5)), POLICY) == ""
    assert breach_of(evidence(figures(DURABLE, 300, first_text=350), figures(LEGACY, 300)), POLICY) == ""
    # Both suffer from the same provider.
    assert breach_of(evidence(figures(DURABLE, 200, failed=90), figures(LEGACY, 200, failed=90)), POLICY) == ""


def test_missing_figures_lead_back_after_two_evaluations() -> None:
    first = decide(at(50, good=25), POLICY, None, now=NOW)
    assert first.action == "hold"
    second = decide(first.state, POLICY, None, now=NOW + 15)
    assert (second.action, second.state.share) == ("roll_back", 25)
    assert "no figures" in second.reason
    # Figures in between begin the count anew.
    between = decide(first.state, POLICY, evidence(figures(DURABLE, 1)), now=NOW + 15)
    assert decide(between.state, POLICY, None, now=NOW + 30).action == "hold"


def test_at_a_hundred_percent_it_still_goes_back() -> None:
    done = at(100, good=100, mode="done")
    decision = decide(done, POLICY, evidence(figures(DURABLE, 100, failed=60)), now=NOW)
    assert (decision.action, decision.state.share) == ("roll_back", 50)


def test_from_the_first_step_it_goes_back_to_nobody() -> None:
    decision = decide(at(1), POLICY, evidence(figures(DURABLE, 100, failed=60)), now=NOW)
    assert (decision.action, decision.state.share) == ("roll_back", 0)


def test_after_the_third_time_it_waits_for_a_person() -> None:
    state = at(25, good=5, rollbacks=2)
    decision = decide(state, POLICY, evidence(figures(DURABLE, 100, failed=60)), now=NOW)
    assert (decision.action, decision.state.mode) == ("roll_back", "paused")


def test_a_paused_rollout_is_left_alone() -> None:
    for found in (None, evidence(gaps=3), evidence()):
        assert decide(at(25, mode="paused"), POLICY, found, now=NOW).action == "hold"


_figures = st.builds(
    lambda ended, failed, stalled, orphans, times: PathFigures(
        path=DURABLE,
        runs=ended + stalled,
        ended=ended,
        completed=ended - min(failed, ended),
        failed=min(failed, ended),
        stalled=stalled,
        orphans=orphans,
        first_text_ms=tuple(sorted(times)),
    ),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 50),
    st.sampled_from([0, 0, 0, 1]),
    st.lists(st.integers(0, 5000), max_size=60),
)
_states = st.builds(
    lambda mode, share, good, ago, missing, rollbacks: GuardState(
        mode=mode, share=share, good=good, since=NOW - ago, until=NOW + 10, missing=missing, rollbacks=rollbacks
    ),
    st.sampled_from(["paused", "running", "cooling", "done"]),
    st.integers(0, 100),
    st.integers(0, 100),
    st.floats(0, 2000),
    st.integers(0, 3),
    st.integers(0, 4),
)


_broken = st.builds(Broken, st.integers(0, 1), st.integers(0, 1))


@given(_states, st.none() | st.builds(Evidence, durable=_figures, legacy=_figures, broken=_broken))
def test_whatever_is_known_a_decision_is_safe(state: GuardState, found: Evidence | None) -> None:
    decision = decide(state, POLICY, found, now=NOW)
    after = decision.state
    assert 0 <= after.share <= 100
    if decision.action == "advance":
        assert after.share > state.share
        assert after.share in POLICY.steps
        assert found is not None
        assert not (state.share and (breach_of(found, POLICY) or broken_promise(found)))
    elif decision.action == "roll_back":
        assert after.share < state.share
        assert after.mode in ("cooling", "paused")
        assert decision.reason
        assert after.mode == "paused" or found is None or not broken_promise(found)
    else:
        assert after.share == state.share
    if state.mode in ("paused", "cooling"):
        assert decision.action == "hold"


def test_results_become_figures() -> None:
    results = [
        RunResult(path=DURABLE, status="complete", first_text_ms=100, duration_ms=900, cost_microusd=5, age=10),
        RunResult(path=DURABLE, status="error", error_code="orphaned", duration_ms=50, attempts=2, age=20),
        RunResult(path=DURABLE, status="pending", age=100),
        RunResult(path=DURABLE, status="pending", age=5),
        RunResult(path=LEGACY, status="cancelled", first_text_ms=200, duration_ms=300, age=50, departed=True),
    ]
    found = both(results, stalled_after=60)
    ours = found[DURABLE]
    assert (ours.runs, ours.ended, ours.completed, ours.failed, ours.stalled) == (4, 2, 1, 1, 1)
    assert (ours.orphans, ours.errors, ours.judged, ours.bad, ours.attempts) == (1, {"orphaned": 1}, 3, 2, 3)
    assert (found[LEGACY].cancelled, found[LEGACY].first_text_ms) == (1, (200,))
    assert figures_of(LEGACY, [], stalled_after=60).judged == 0
    assert [piece.runs for piece in over_time(results, DURABLE, window=120, pieces=4)] == [1, 0, 0, 3]
