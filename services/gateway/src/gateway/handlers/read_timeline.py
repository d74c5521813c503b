"""A run's timeline: what one looks at to say where an answer spent its time."""

from datetime import UTC, datetime
from typing import Final

from contracts.events import decode_event, event_head
from contracts.subjects import run_subject
from contracts.times import rfc3339

from gateway.console_ports import AnyRuns
from gateway.domain.records import Run
from gateway.domain.timeline import Timeline, TimelineBuilder
from gateway.ports import LogReader, Viewers

_TEXT: Final = frozenset({"text.delta", "reasoning.delta"})


async def read_timeline(
    conversation: AnyRuns, log: LogReader, viewers: Viewers, user_id: str, run_id: str
) -> tuple[Run, Timeline]:
    """The run and its timeline so far; when its text was shown is known to the gateway that showed it. Where the log has lost its beginning, what conversation keeps. Raises Refusal,
    UnavailableError."""
    run, _ = await conversation.get_run(user_id, run_id)
    builder = TimelineBuilder(run.created_at)
    expected = 1
    async for entry in log.read(run_subject(run.thread_id, run.id, "event")):
        kind, sequence, _ = event_head(entry.data)
        if sequence != expected:
            builder = TimelineBuilder(run.created_at)
            break
        expected += 1
        if kind in _TEXT and not builder.wants_text:
            builder.skip_text()
        else:
            builder.see(decode_event(entry.data))
    shown = viewers.first_shown(run.id)
    shown_at = rfc3339(datetime.fromtimestamp(shown, UTC)) if shown is not None else ""
    return run, builder.build(ended_at=run.ended_at, stored_at=run.recorded_at, shown_at=shown_at)
