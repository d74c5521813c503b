"""Attach a viewer: check that the stream is the caller's, find the place of the cursor, fill in what the log has lost."""

import asyncio
from dataclasses import dataclass, replace
from typing import Final, Literal

from bus.errors import UnavailableError
from contracts.codes import Code
from contracts.cursor import START, Cursor, InvalidCursorError, parse_cursor
from contracts.events import TERMINAL_TYPES, event_head
from contracts.subjects import run_subject, thread_events_subject, thread_snapshots_subject, token_at

from gateway.domain.frames import event_frame
from gateway.domain.patience import ANSWER_SECONDS
from gateway.domain.problems import Refusal
from gateway.domain.records import ENDED, Message, Run
from gateway.domain.stored_log import STORED_END, frames_of, retraction, state_events, stored_events
from gateway.handlers.fold_run import fold_run
from gateway.ports import Conversation, Entry, LogReader, LogViewer, Viewer, Viewers

PAGE = 200
LONG: Final = 1_000
"""Events from which on an ended answer is given as it is stored to whoever asks for it without a cursor. To read so many from
the log takes some 11 µs each, and the broker's part besides; what is stored comes with the check that the run is the caller's."""

Place = Cursor | Literal["latest", "whole"]
"""A cursor promises every event behind it, START all of them; `whole` is the answer, however many events tell it."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a viewer gets: `prefix` at once, then whatever `viewer` gives, or the end where there is none. `thread_id` is the
    thread that one must be in to watch it, empty for what is one's own."""

    prefix: bytes
    viewer: Viewer | None
    thread_id: str = ""


def check_place(last_event_id: str | None, query: str | None) -> Place:
    """Where a client wants to go on: the header wins over the query, neither means all there is. Raises Refusal."""
    text = last_event_id or query
    if not text:
        return "whole"
    if text == "latest" and not last_event_id:
        return "latest"
    try:
        return parse_cursor(text)
    except InvalidCursorError as error:
        raise Refusal(Code.CURSOR_INVALID, f"The cursor is {error}.") from error


async def watch_feed(viewers: Viewers, user_id: str, place: Place) -> Attachment:
    """The user's feed; authorised by being the user's own."""
    after = None if place == "latest" else _cursor_of(place).stream_sequence
    async with asyncio.timeout(ANSWER_SECONDS):
        return Attachment(b"", await viewers.of_feed(user_id, after=after))


async def watch_run(
    conversation: Conversation, log: LogReader, viewers: Viewers, user_id: str, run_id: str, place: Place
) -> Attachment | None:
    """A run up to its terminal event; None where the viewer has had that already. Raises Refusal, UnavailableError."""
    run, message = await conversation.get_run(user_id, run_id)
    attachment = await _attach_run(log, viewers, run, message, place)
    return None if attachment is None else replace(attachment, thread_id=run.thread_id)


async def _attach_run(
    log: LogReader, viewers: Viewers, run: Run, message: Message | None, place: Place
) -> Attachment | None:
    subject = run_subject(run.thread_id, run.id, "event")
    if place == "latest":
        last = await log.last(subject)
        if message is not None or (last is not None and _is_terminal(last)):
            return None
        return Attachment(b"", viewers.of_log(subject, after=_sequence_of(last), until_terminal=True))
    if place == "whole" and message is not None and run.final_sequence >= LONG:
        return await _from_what_is_stored(log, viewers, run, message, seen=0)
    # Who names no place is promised the answer, not its events.
    stored_will_do = place == "whole" and message is not None
    place = _cursor_of(place)
    if message is not None and _had_the_end(place, run):
        return None
    viewer = viewers.of_log(subject, after=max(place.stream_sequence - 1, 0), until_terminal=True)
    try:
        found = await _find(viewer, place)
        if message is not None and found == "here":
            # The run has ended, so a log without an end is not whole: waiting for one would last for ever.
            last = await log.last(subject)
            found = "here" if last is not None and _is_terminal(last) else "lost"
    except BaseException as error:
        await viewer.close()
        if not (stored_will_do and isinstance(error, UnavailableError | TimeoutError)):
            raise
        return await _from_what_is_stored(log, viewers, run, message, seen=0)
    if found == "here":
        return Attachment(b"", viewer)
    await viewer.close()
    return None if found == "ended" else await _from_what_is_stored(log, viewers, run, message, seen=place.sequence)


def _had_the_end(place: Cursor, run: Run) -> bool:
    if place.stream_sequence in (0, STORED_END):
        # Events that tell of a stored answer have numbers of their own, which may pass the log's last before they end.
        return place.stream_sequence == STORED_END
    return 0 < run.final_sequence <= place.sequence


async def _peek(viewer: LogViewer) -> Entry | None:
    async with asyncio.timeout(ANSWER_SECONDS):
        return await viewer.peek()


async def _find(viewer: LogViewer, place: Cursor) -> Literal["here", "ended", "lost"]:
    """Whether the log still has the place; the viewer is moved behind it. A new run's empty log has its beginning."""
    first = await _peek(viewer)
    if place.sequence == 0:
        return "here" if first is None or event_head(first.data)[1] == 1 else "lost"
    if first is None or first.stream_sequence != place.stream_sequence or event_head(first.data)[1] != place.sequence:
        return "lost"
    viewer.skip()
    return "ended" if _is_terminal(first) else "here"


async def _from_what_is_stored(
    log: LogReader, viewers: Viewers, run: Run, message: Message | None, *, seen: int
) -> Attachment:
    if message is not None:
        return Attachment(frames_of(stored_events(run, message, seen=seen)), None)
    subject = run_subject(run.thread_id, run.id, "event")
    viewer = viewers.of_log(subject, after=0, until_terminal=True)
    first = await _peek(viewer)
    if first is None or event_head(first.data)[1] == 1:
        # The log was rebuilt and the run begins anew in it.
        prefix = event_frame(None, retraction(run, seen=seen)) if seen else b""
        return Attachment(prefix, viewer)
    await viewer.close()
    state = await fold_run(log, run.thread_id, run.id)
    if state is None:
        raise Refusal(Code.UNAVAILABLE, "The run's log cannot be read now; try again.")
    prefix = frames_of(state_events(state.state, seen=seen))
    return Attachment(prefix, viewers.of_log(subject, after=state.stream_sequence, until_terminal=True))


async def watch_thread(
    conversation: Conversation, log: LogReader, viewers: Viewers, user_id: str, thread_id: str, place: Place
) -> Attachment:
    """All runs of a thread, for as long as the viewer stays. Raises Refusal, UnavailableError."""
    await conversation.get_thread(user_id, thread_id)
    attachment = await _attach_thread(conversation, log, viewers, user_id, thread_id, place)
    return replace(attachment, thread_id=thread_id)


async def _attach_thread(
    conversation: Conversation, log: LogReader, viewers: Viewers, user_id: str, thread_id: str, place: Place
) -> Attachment:
    subject = thread_events_subject(thread_id)
    if place == "latest":
        last = await log.last(subject)
        return Attachment(b"", viewers.of_log(subject, after=_sequence_of(last), until_terminal=False))
    place = _cursor_of(place)
    viewer = viewers.of_log(subject, after=max(place.stream_sequence - 1, 0), until_terminal=False)
    try:
        if place.sequence:
            if await _find(viewer, place) != "lost":
                return Attachment(b"", viewer)
        elif await _begins_whole(conversation, log, viewer, user_id, thread_id):
            return Attachment(b"", viewer)
    except BaseException:
        await viewer.close()
        raise
    await viewer.close()
    whole = await _whole_runs(log, subject)
    prefix, left_out = await _stored_thread(conversation, user_id, thread_id, whole, seen=place.sequence)
    viewer = viewers.of_log(subject, after=0, until_terminal=False)
    viewer.leave_out(left_out)
    return Attachment(prefix, viewer)


async def _begins_whole(
    conversation: Conversation, log: LogReader, viewer: LogViewer, user_id: str, thread_id: str
) -> bool:
    """The log has the thread's first answer from its first event on, so it has everything of the runs that it has, as entries
    expire in order; and it has a run for every answer: those of the legacy path it has not."""
    page = await conversation.list_messages(user_id, thread_id, cursor="", limit=PAGE)
    answers = [message for message in page.messages if message.role == "assistant" and message.run_id]
    if not answers or (answers[0].status not in ENDED and len(answers) == 1):
        return True
    first = await _peek(viewer)
    if first is None:
        return all(answer.status not in ENDED for answer in answers)
    _, sequence, run_id = event_head(first.data)
    if sequence != 1 or (answers[0].status in ENDED and run_id != answers[0].run_id):
        return False
    ended = {answer.run_id for answer in answers[1:] if answer.status in ENDED}
    if ended:
        # One entry for each run, however long it was.
        snapshots = thread_snapshots_subject(thread_id)
        ended -= {token_at(entry.subject, 2) async for entry in log.read(snapshots)}
    return not ended


async def _whole_runs(log: LogReader, subject: str) -> frozenset[str]:
    """The runs whose log still begins with its first event."""
    begun: dict[str, int] = {}
    async for entry in log.read(subject):
        run_id = token_at(entry.subject, 2)
        if run_id not in begun:
            begun[run_id] = event_head(entry.data)[1]
    return frozenset(run_id for run_id, sequence in begun.items() if sequence == 1)


async def _stored_thread(
    conversation: Conversation, user_id: str, thread_id: str, whole: frozenset[str], *, seen: int
) -> tuple[bytes, frozenset[str]]:
    """Frames for every ended answer whose log is not whole, and the runs they stand for. A viewer who had a cursor may
    have had text of any run, so each is taken back first."""
    frames: list[bytes] = []
    left_out: set[str] = set()
    cursor = ""
    while True:
        page = await conversation.list_messages(user_id, thread_id, cursor=cursor, limit=PAGE)
        for message in page.messages:
            if message.role != "assistant" or not message.run_id:
                continue
            run = run_of(message)
            if message.status in ENDED and message.run_id not in whole:
                left_out.add(message.run_id)
                # On a thread no event is the end: with end=0 a reconnect behind it starts over as well.
                frames.append(frames_of(stored_events(run, message, seen=1 if seen else 0), end=0))
            elif seen:
                frames.append(event_frame(None, retraction(run, seen=0)))
        cursor = page.next_cursor
        if not cursor:
            return b"".join(frames), frozenset(left_out)


def run_of(message: Message) -> Run:
    """What a stored answer tells about its run."""
    return Run(
        id=message.run_id,
        thread_id=message.thread_id,
        message_id=message.id,
        model=message.model,
        path="durable_event",
        status=message.status,
        created_at=message.created_at,
        ended_at="",
        usage=message.usage,
        cost_microusd=message.cost_microusd,
        error_code=message.error_code,
        error_message=message.error_message,
        final_sequence=0,
        attempts=1,
    )


def _cursor_of(place: Cursor | Literal["whole"]) -> Cursor:
    return START if place == "whole" else place


def _is_terminal(entry: Entry) -> bool:
    return event_head(entry.data)[0] in TERMINAL_TYPES


def _sequence_of(entry: Entry | None) -> int:
    return 0 if entry is None else entry.stream_sequence
