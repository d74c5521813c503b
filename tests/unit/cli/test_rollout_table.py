"""What `everthread rollout status` shows."""

from typing import Any

from everthread.rollout import lines_of, spark


def path(**more: Any) -> dict[str, Any]:
    times = {"p50": 51, "p95": 98, "p99": 12_345}
    return {
        "runs": 127,
        "ended": 127,
        "completed": 107,
        "cancelled": 0,
        "failed": 20,
        "stalled": 0,
        "errors": {"upstream_rejected": 20},
        "completion_rate": 0.843,
        "error_rate": 0.157,
        "first_text_ms": times,
        "duration_ms": times,
        "cost_per_answer_microusd": 8.4,
        "runs_over_time": [0, 1, 4],
        "errors_over_time": [0, 0, 0],
        "first_text_p95_over_time": [None, 50, 100],
        "departed": 8,
        "survived": 7,
        "survival": 0.875,
        "database_operations_per_answer": 12.25,
        "survival_over_time": [None, 0.5, 1.0],
        "database_operations_over_time": [None, 12.0, 13.0],
    } | more


def side(**more: Any) -> dict[str, Any]:
    times = {"p50": 51, "p95": 98, "p99": 99}
    return {
        "failed": 0,
        "errors": {},
        "first_text_ms": times,
        "duration_ms": times,
        "input_tokens": 70,
        "output_tokens": 20,
        "cost_microusd": 300,
        "database_operations_per_answer": 11.0,
    } | more


def rollout(**more: Any) -> dict[str, Any]:
    nothing = {"p50": None, "p95": None, "p99": None}
    return {
        "share": 25,
        "mode": "cooling",
        "cooling_until": "2026-11-21T05:55:26.423Z",
        "steps": [1, 5, 25, 50, 100],
        "last_good": 5,
        "reason": "17 of 35 runs failed or stalled: back from 50 % to 25 %",
        "window_seconds": 3600,
        "error_difference": {"low": 0.093, "high": 0.225},
        "broken_promises": {"gaps": 0, "doubles": 0},
        "shadows": {
            "share": 0,
            "pairs": 0,
            "ended": 0,
            "compared": 0,
            "equal": 0,
            "similarity": None,
            "served": side(),
            "shadow": side(),
        },
        "changes": [],
        "paths": {
            "durable_event": path(),
            "legacy_sync": path(
                runs=0, departed=0, error_rate=None, first_text_ms=nothing, cost_per_answer_microusd=None, errors={}
            ),
        },
    } | more


def test_both_paths_stand_side_by_side() -> None:
    lines = lines_of(rollout())
    assert lines[0] == (
        "25 % on durable_event, the guard is cooling until 2026-11-21T05:55:26.423Z "
        "(steps 1, 5, 25, 50, 100; last good 5 %)"
    )
    assert lines[1] == "because 17 of 35 runs failed or stalled: back from 50 % to 25 %"
    assert any(line.split() == ["errors", "15.7%", "-"] for line in lines)
    assert any(line.split() == ["survived", "7", "of", "8,", "87.5%", "-"] for line in lines)
    assert any(line.split() == ["database", "operations", "12.2", "12.2"] for line in lines)
    assert any(line.startswith("first text p99") and "12.3 s" in line for line in lines)
    assert "durable_event failed: upstream_rejected 20" in lines
    assert lines[-1] == "durable_event has +9.3% to +22.5% errors more than legacy_sync (95 % interval)"
    assert not any("\x1b" in line for line in lines)
    assert "\x1b[31mcooling" in lines_of(rollout(), colour=True)[0]


def test_without_a_percentage_or_anything_to_compare() -> None:
    lines = lines_of(rollout(share=None, mode="paused", cooling_until=None, reason="", error_difference=None))
    assert lines[0].startswith("no percentage decides, the guard is paused (")
    assert not any(line.startswith("because") for line in lines)


def test_a_sparkline_is_as_high_as_its_values() -> None:
    assert spark([None, 0, 1, 4, 8], 8) == "  ▂▅█"
    assert spark([0, 0], 0) == "  "


def test_shadows_stand_beside_what_was_served() -> None:
    shadows = rollout()["shadows"] | {
        "share": 10,
        "pairs": 9,
        "compared": 8,
        "equal": 6,
        "similarity": 0.9,
        "shadow": side(failed=1, database_operations_per_answer=12.5),
    }
    text = "\n".join(lines_of(rollout(shadows=shadows)))
    assert "9 answers of legacy_sync were repeated unseen by durable_event (10 % of the users now):" in text
    assert "of 8 whole pairs 6 have the same text, 90.0% alike on average" in text
    assert ["database", "operations", "12.5", "11.0"] in [line.split() for line in text.splitlines()]


def test_broken_promises_and_the_latest_changes_are_told() -> None:
    change = {
        "change": "rolled_back",
        "by": "guard",
        "at": "2026-11-21T03:00:00.000Z",
        "why": "17 of 35 runs failed",
        "revision": 3,
        "share": 25,
    }
    lines = lines_of(rollout(broken_promises={"gaps": 1, "doubles": 2}, changes=[change] * 9))
    assert "promises broken: 1 events shown out of order, 2 shown twice" in lines
    assert lines[-1] == "  2026-11-21T03:00:00.000Z  rolled_back   25 %  guard: 17 of 35 runs failed"
    assert len([line for line in lines if "rolled_back" in line]) == 5
