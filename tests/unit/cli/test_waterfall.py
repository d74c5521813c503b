"""A run's timeline as lines in a terminal."""

from typing import Any

from everthread.trace import BAR, waterfall


def timeline(**more: Any) -> dict[str, Any]:
    def phase(name: str, offset: int, took: int) -> dict[str, Any]:
        return {"name": name, "at": f"2026-11-21T03:17:{offset / 1000:06.3f}Z", "offset_ms": offset, "took_ms": took}

    step = {"step": 1, "kind": "model", "name": "m", "attempt": 1, "outcome": "interrupted", "finish_reason": None}
    return {
        "run_id": "run_1",
        "model": "m",
        "path": "durable_event",
        "status": "complete",
        "whole": True,
        "phases": [phase("accepted", 0, 0), phase("claimed", 500, 500), phase("ended", 2000, 1500)],
        "attempts": [
            {"attempt": 1, "worker": "w1", "started_at": "2026-11-21T03:17:00.500Z", "ended_at": None},
        ],
        "steps": [{**step, "started_at": "2026-11-21T03:17:01.000Z", "ended_at": "2026-11-21T03:17:02.000Z"}],
        "retractions": 0,
        "pieces": 7,
        **more,
    }


def test_bars_stand_where_the_time_was_spent() -> None:
    lines = waterfall(timeline())
    assert lines[0] == "run_1  m  durable_event  complete"
    assert "2000 ms in all, 7 pieces" in lines[1]
    ended = next(line for line in lines if line.startswith("ended"))
    bar = ended.split("│")[1]
    assert len(bar) == BAR
    assert bar.index("█") == BAR // 4
    assert "after 1500 ms" in ended
    step = next(line for line in lines if line.strip().startswith("step 1 (model)"))
    assert step.split("│")[1] == " " * (BAR // 2) + "█" * (BAR // 2)
    assert "interrupted after 1000 ms" in step


def test_what_a_person_must_know_is_said() -> None:
    text = "\n".join(waterfall(timeline(whole=False, retractions=2, phases=timeline()["phases"][:2])))
    assert "has expired" in text
    assert "2 times text was taken back" in text
    assert "It has not ended." in text
