"""The timeline of a run, out of its events."""

from typing import Any

from contracts import events as e
from contracts.usage import Usage
from gateway.domain.timeline import TimelineBuilder

AT = "2026-11-21T03:17:{:06.3f}Z"
TOTALS: dict[str, Any] = {"message_id": "msg_1", "usage": Usage(), "cost_microusd": 0}


def event(made: type[Any], seconds: float, /, attempt: int = 1, **fields: Any) -> Any:
    return made(thread_id="thr", run_id="run", sequence=0, attempt=attempt, at=AT.format(seconds), **fields)


def built(*events: Any, ended_at: str = "") -> Any:
    builder = TimelineBuilder(AT.format(10))
    for one in events:
        builder.see(one)
    return builder.build(ended_at=ended_at)


def test_a_run_from_acceptance_to_its_end() -> None:
    timeline = built(
        event(e.RunStarted, 10.02, message_id="msg_1", model="m", path="durable_event"),
        event(e.AttemptStarted, 10.02, worker="w1", published_at=AT.format(10.01)),
        event(e.StepStarted, 10.03, step=1, kind="model", name="m"),
        event(e.TextDelta, 10.5, part=0, delta="a"),
        event(e.TextDelta, 10.6, part=0, delta="b"),
        event(e.StepFinished, 11, step=1, finish_reason="stop"),
        event(e.RunCompleted, 11.001, **TOTALS),
    )
    assert [(phase.name, phase.offset_ms, phase.took_ms) for phase in timeline.phases] == [
        ("accepted", 0, 0),
        ("published", 10, 10),
        ("claimed", 20, 10),
        ("asked", 30, 10),
        ("first_token", 500, 470),
        ("ended", 1001, 501),
    ]
    (step,) = timeline.steps
    assert (step.outcome, step.finish_reason, step.ended_at) == ("finished", "stop", AT.format(11))
    assert timeline.whole
    assert timeline.pieces == 2


def test_a_takeover_ends_the_interrupted_attempt_and_its_step() -> None:
    timeline = built(
        event(e.RunStarted, 10.02, message_id="msg_1", model="m", path="durable_event"),
        event(e.AttemptStarted, 10.02, worker="w1"),
        event(e.StepStarted, 10.03, step=1, kind="model", name="m"),
        event(e.TextDelta, 10.1, part=0, delta="a"),
        event(e.AttemptStarted, 12, attempt=2, worker="w2", trace_id="ab" * 16),
        event(e.TextRetracted, 12, attempt=2, from_sequence=3),
        event(e.StepStarted, 12.1, attempt=2, step=1, kind="model", name="m"),
        event(e.RunFailed, 13, attempt=2, code="deadline", message="Too late.", **TOTALS),
    )
    assert [span.trace_id for span in timeline.attempts] == [None, "ab" * 16]
    assert [(span.worker, span.ended_at) for span in timeline.attempts] == [
        ("w1", AT.format(12)),
        ("w2", AT.format(13)),
    ]
    assert [step.outcome for step in timeline.steps] == ["interrupted", "failed"]
    assert timeline.retractions == 1
    assert "published" not in [phase.name for phase in timeline.phases]


def test_a_run_under_way_and_one_whose_log_is_gone() -> None:
    running = built(event(e.AttemptStarted, 10.5, worker="w1"))
    assert [phase.name for phase in running.phases] == ["accepted", "claimed"]
    assert running.attempts[0].ended_at is None
    expired = built(ended_at=AT.format(20))
    assert [(phase.name, phase.took_ms) for phase in expired.phases] == [("accepted", 0), ("ended", 10_000)]
    assert not expired.whole


def test_a_clock_that_is_behind_makes_nothing_negative() -> None:
    timeline = built(event(e.AttemptStarted, 9, worker="w1", published_at=AT.format(10.2)))
    assert [phase.took_ms for phase in timeline.phases] == [0, 200, 0]


def test_tools_side_by_side_end_each_for_itself_and_what_is_known_elsewhere_is_told() -> None:
    builder = TimelineBuilder(AT.format(10))
    for one in (
        event(e.AttemptStarted, 10.1, worker="w1"),
        event(e.StepStarted, 10.2, step=1, kind="model", name="m"),
        event(e.TextDelta, 10.3, part=0, delta="a"),
        event(e.StepFinished, 10.4, step=1, finish_reason="tool_calls"),
        event(e.StepStarted, 10.5, step=2, kind="tool", name="slow"),
        event(e.StepStarted, 10.5, step=3, kind="tool", name="quick"),
        event(e.StepFinished, 10.6, step=3),
        event(e.StepFinished, 10.9, step=2),
        event(e.RunCompleted, 11, **TOTALS),
    ):
        builder.see(one)
    timeline = builder.build(ended_at="", stored_at=AT.format(11.2), shown_at=AT.format(10.35))
    assert [(span.name, span.outcome, span.ended_at) for span in timeline.steps] == [
        ("m", "finished", AT.format(10.4)),
        ("slow", "finished", AT.format(10.9)),
        ("quick", "finished", AT.format(10.6)),
    ]
    assert [phase.name for phase in timeline.phases][-4:] == ["first_token", "shown", "ended", "stored"]
