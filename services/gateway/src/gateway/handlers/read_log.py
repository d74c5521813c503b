"""A run's events, page by page, as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.codes import Code
from contracts.cursor import START, Cursor, InvalidCursorError, parse_cursor
from contracts.events import encode_event, event_head
from contracts.subjects import run_subject

from gateway.domain.problems import Refusal
from gateway.domain.stored_log import stored_events
from gateway.ports import Conversation, LogReader


@dataclass(frozen=True, slots=True)
class LogPage:
    """Encoded events in order; `next_cursor` is empty where there are no more now."""

    events: Sequence[bytes]
    next_cursor: str


async def read_log(
    conversation: Conversation, log: LogReader, user_id: str, run_id: str, *, cursor: str, limit: int
) -> LogPage:
    """The events after `cursor`; from the stored message where the log has expired. Raises Refusal, UnavailableError."""
    run, message = await conversation.get_run(user_id, run_id)
    try:
        place = parse_cursor(cursor) if cursor else START
    except InvalidCursorError as error:
        raise Refusal(Code.CURSOR_INVALID, f"The cursor is {error}.") from error
    events: list[bytes] = []
    last = place
    async for entry in log.read(run_subject(run.thread_id, run.id, "event"), after=place.stream_sequence):
        _, sequence, _ = event_head(entry.data)
        if not events and sequence != place.sequence + 1:
            break
        if len(events) == limit:
            return LogPage(events, str(last))
        events.append(entry.data)
        last = Cursor(entry.stream_sequence, sequence)
    if not events and message is not None and not (run.final_sequence and place.sequence >= run.final_sequence):
        return LogPage([encode_event(event) for event in stored_events(run, message)], "")
    return LogPage(events, "")
