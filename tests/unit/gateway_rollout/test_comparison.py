"""What is told of the paths beside the guard's own figures: survival, database operations, shadows."""

from gateway.domain.comparison import RunResult, figures_of, over_time
from gateway.domain.path_flag import DURABLE, LEGACY
from gateway.domain.shadowing import ShadowPair, shadow_figures


def test_survival_is_of_those_whose_client_went_away_and_that_have_ended() -> None:
    results = [
        RunResult(path=DURABLE, status="complete", departed=True),
        RunResult(path=DURABLE, status="error", error_code="deadline", departed=True),
        RunResult(path=DURABLE, status="pending", departed=True),
        RunResult(path=DURABLE, status="complete"),
        RunResult(path=LEGACY, status="cancelled", departed=True),
    ]
    ours, theirs = (figures_of(path, results, stalled_after=60) for path in (DURABLE, LEGACY))
    assert (ours.departed, ours.survived, ours.survival) == (2, 1, 0.5)
    assert (theirs.departed, theirs.survived, theirs.survival) == (1, 0, 0.0)
    assert figures_of(LEGACY, results[:4], stalled_after=60).survival is None


def test_database_operations_are_the_mean_of_what_is_known() -> None:
    results = [
        RunResult(path=DURABLE, status="complete", operations=12, age=10),
        RunResult(path=DURABLE, status="complete", operations=13, age=70),
        RunResult(path=DURABLE, status="complete", age=70),
        RunResult(path=DURABLE, status="pending", operations=6, age=10),
    ]
    assert figures_of(DURABLE, results, stalled_after=600).operations_per_answer == 12.5
    assert [p.operations_per_answer for p in over_time(results, DURABLE, window=120, pieces=2)] == [13, 12]


def test_a_run_that_is_overdue_is_an_orphan() -> None:
    results = [
        RunResult(path=DURABLE, status="pending", overdue=True),
        RunResult(path=DURABLE, status="error", error_code="orphaned"),
    ]
    assert figures_of(DURABLE, results, stalled_after=60).orphans == 2


def pair(served: str, shadow: str, similarity: float | None, **more: int) -> ShadowPair:
    return ShadowPair(
        served=RunResult(path=LEGACY, status=served, first_text_ms=100, duration_ms=400, operations=11),
        shadow=RunResult(
            path=DURABLE,
            status=shadow,
            error_code="poison" if shadow == "error" else "",
            first_text_ms=more.get("first", 120),
            duration_ms=500,
            operations=12,
            cost_microusd=3,
        ),
        similarity=similarity,
        equal=similarity == 1.0,
    )


def test_pairs_are_compared_where_both_answers_are_whole() -> None:
    pairs = [
        pair("complete", "complete", 1.0),
        pair("complete", "complete", 0.5, first=300),
        pair("complete", "error", 0.0),
        pair("complete", "pending", None),
    ]
    found = shadow_figures(pairs)
    assert (found.pairs, found.ended, found.compared, found.equal, found.similarity) == (4, 3, 2, 1, 0.75)
    assert (found.served.failed, found.shadow.failed, found.shadow.errors) == (0, 1, {"poison": 1})
    assert (found.shadow.first_text_ms, found.shadow.cost_microusd) == ((120, 120, 300), 9)
    assert (found.served.operations, found.shadow.operations) == ((11,) * 3, (12,) * 3)
    assert shadow_figures([]).similarity is None
