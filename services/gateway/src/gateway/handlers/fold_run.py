"""Fold a run's log: what its state is now."""

import asyncio

from bus.errors import UnavailableError
from contracts.events import RunEvent, decode_event
from contracts.run_state import GapError, RunState, Snapshot, decode_snapshot
from contracts.subjects import run_subject

from gateway.domain.patience import LOOK_SECONDS
from gateway.domain.records import Message, Run
from gateway.domain.stored_log import stored_events
from gateway.ports import LogReader


async def fold_run(log: LogReader, thread_id: str, run_id: str, *, from_snapshot: bool = True) -> Snapshot | None:
    """The state after the last stored event, with its place; None where the log has neither events nor a snapshot.

    `from_snapshot` begins at the run's snapshot and reads only the tail. Raises UnavailableError; GapError where the log
    has lost its beginning and there is no snapshot either.
    """
    begin = Snapshot(state=RunState(run_id=run_id, thread_id=thread_id), stream_sequence=0)
    if from_snapshot:
        entry = await log.last(run_subject(thread_id, run_id, "snapshot"))
        if entry is not None:
            begin = decode_snapshot(entry.data)
    state, place = begin.state, begin.stream_sequence
    async for entry in log.read(run_subject(thread_id, run_id, "event"), after=place):
        event = decode_event(entry.data)
        # A snapshot taken while its own event was under way may cover what follows its place.
        if event.sequence > state.sequence:
            state.apply(event)
        place = entry.stream_sequence
    return Snapshot(state=state, stream_sequence=place) if state.sequence else None


async def live_state(log: LogReader, thread_id: str, run_id: str) -> RunState | None:
    """The newest state there is; None where the log has nothing whole."""
    for from_snapshot in (True, False):
        try:
            found = await fold_run(log, thread_id, run_id, from_snapshot=from_snapshot)
            return None if found is None else found.state
        except GapError:
            # The snapshot is of another log than the tail (a rebuilt stream), or the log has lost its beginning.
            continue
    return None


async def state_soon(log: LogReader, thread_id: str, run_id: str) -> RunState | None:
    """The same for whoever can do with what was last stored: raises UnavailableError after LOOK_SECONDS."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await live_state(log, thread_id, run_id)
    except TimeoutError as error:
        raise UnavailableError(f"{run_id}: the log did not answer within {LOOK_SECONDS:.0f} s") from error


async def run_state(log: LogReader, run: Run, message: Message | None) -> RunState:
    """The fold of the run's log, or of the stored message where the log has expired. Raises UnavailableError where the log of a
    run that goes on is at another gateway."""
    state = await live_state(log, run.thread_id, run.id)
    if message is not None and (state is None or not state.is_terminal):
        return fold_events(run, stored_events(run, message))
    if state is None:
        # Nothing here yet, or nothing here ever: the newest event knows.
        await log.last(run_subject(run.thread_id, run.id, "event"))
    return state or RunState(run_id=run.id, thread_id=run.thread_id, message_id=run.message_id, model=run.model)


def fold_events(run: Run, events: list[RunEvent]) -> RunState:
    """Fold events that begin with the first; raises GapError."""
    state = RunState(run_id=run.id, thread_id=run.thread_id)
    for event in events:
        state.apply(event)
    return state
