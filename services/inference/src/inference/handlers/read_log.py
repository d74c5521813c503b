"""Reading a run's log after the claim: the folded state, who asked to stop, how many attempts came to nothing."""

import asyncio
from dataclasses import dataclass, field

import msgspec
import structlog
from bus.api import Claim, Entry, RunLog
from bus.claims import holder_of
from bus.errors import UnavailableError
from contracts.commands import CancelRun, DecideApproval, ProvideInput, RunCommand, SteerRun
from contracts.events import decode_event
from contracts.run_state import GapError, RunState, decode_snapshot
from contracts.subjects import run_subject

from inference.domain.plan import FRUITLESS_ATTEMPTS, FruitlessCount

logger = structlog.get_logger()

REPLICA_WAITS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between looks when a replica lags behind the claim."""

_command_decoder: msgspec.json.Decoder[RunCommand] = msgspec.json.Decoder(RunCommand)


@dataclass(slots=True)
class History:
    """What the log held when the run was claimed. `stream_sequence`: of the last event. `snapshot_sequence`: the run sequence that the last snapshot covers, 0 where there is none. `fruitless`: the
    attempts in a row that died without progress; those that were handed over do not count. `claimed_at` is when the broker stored
    the claim, or the mark of its release that was read up to, in seconds since 1970; 0 where it does not say."""

    state: RunState
    stream_sequence: int
    snapshot_sequence: int
    fruitless: int
    commands: "Commands"
    claimed_at: float = 0.0

    @property
    def cancelled_by(self) -> str | None:
        """Who asked to stop, before the claim."""
        return self.commands.cancelled_by

    @property
    def command_sequence(self) -> int:
        """Where the last command is."""
        return self.commands.last

    @property
    def steers(self) -> list[SteerRun]:
        """What the user said to the running answer, in order; grows while the attempt listens."""
        return self.commands.steers


@dataclass(slots=True)
class Commands:
    """A run's commands, as they were stored. Of several answers to one wait the first counts."""

    last: int = 0
    cancelled_by: str | None = None
    steers: list[SteerRun] = field(default_factory=list)
    inputs: dict[str, ProvideInput] = field(default_factory=dict)
    decisions: dict[str, DecideApproval] = field(default_factory=dict)

    def add(self, entry: Entry) -> RunCommand | None:
        """The next entry; None for one that this version does not know."""
        self.last = entry.stream_sequence
        command = decode_command(entry)
        match command:
            case CancelRun():
                self.cancelled_by = self.cancelled_by or command.by
            case SteerRun():
                self.steers.append(command)
            case ProvideInput():
                self.inputs.setdefault(command.wait_id, command)
            case DecideApproval():
                self.decisions.setdefault(command.wait_id, command)
        return command


def decode_command(entry: Entry) -> RunCommand | None:
    """A command of the log; None for one that this version does not know."""
    try:
        return _command_decoder.decode(entry.data)
    except msgspec.MsgspecError:
        logger.warning("command.unknown", subject=entry.subject, stream_sequence=entry.stream_sequence)
        return None


async def read_history(log: RunLog, claim: Claim) -> History:
    """Fold the log. Whatever is stored before the claim is in it, and nothing of an older claim can follow.

    Raises UnavailableError, GapError.
    """
    stream_sequence = 0
    entry, commands = await asyncio.gather(
        log.last(run_subject(claim.thread_id, claim.run_id, "snapshot")), read_commands(log, claim)
    )
    if entry is None:
        state = _new_state(claim)
    else:
        snapshot = decode_snapshot(entry.data)
        state, stream_sequence = snapshot.state, snapshot.stream_sequence
    snapshot_sequence = state.sequence
    events = await _read_events(log, claim, state, stream_sequence, commands)
    fruitless = 0
    if max(claim.attempt, state.attempt + 1) > FRUITLESS_ATTEMPTS and not state.is_terminal:
        # Whether earlier attempts got anywhere cannot be seen in a snapshot; this is rare enough to read it all.
        whole = _new_state(claim)
        try:
            events = await _read_events(log, claim, whole, 0, commands)
            state, fruitless = whole, min(events.fruitless, events.abandoned)
        except GapError:
            # A run that has waited for days has outlived its first events; what has waited has made progress.
            logger.info("log.outlived", run_id=claim.run_id, sequence=state.sequence)
    return History(
        state, events.last or stream_sequence, snapshot_sequence, fruitless, commands, claimed_at=events.claimed_at
    )


async def read_rest(log: RunLog, thread_id: str, run_id: str, released_at: int) -> History | None:
    """Fold the log of a run that nobody holds, up to the mark of its release at `released_at` at least; None where it has no
    snapshot. Raises UnavailableError, GapError."""
    mark = Claim(thread_id=thread_id, run_id=run_id, worker="", attempt=0, fence=released_at)
    entry, commands = await asyncio.gather(
        log.last(run_subject(thread_id, run_id, "snapshot")), read_commands(log, mark)
    )
    if entry is None:
        return None
    snapshot = decode_snapshot(entry.data)
    covers = snapshot.state.sequence
    events = await _read_events(log, mark, snapshot.state, snapshot.stream_sequence, commands)
    last = events.last or snapshot.stream_sequence
    return History(snapshot.state, last, covers, 0, commands, claimed_at=events.claimed_at)


def _new_state(claim: Claim) -> RunState:
    return RunState(run_id=claim.run_id, thread_id=claim.thread_id)


@dataclass(slots=True)
class _Events:
    """What was read besides the state: the last event's stream sequence, the attempts without progress at the end of what
    was read, the claims before this one that nobody gave back (a release takes the ones before it away), and when the broker
    stored this one."""

    last: int = 0
    fruitless: int = 0
    abandoned: int = 0
    claimed_at: float = 0.0


async def _read_events(log: RunLog, claim: Claim, state: RunState, after: int, commands: "Commands") -> _Events:
    """Fold everything above `after` up to the claim itself into `state`; a replica that lags is asked again. What `commands`
    lack, since a replica was asked for them that lagged more, is added."""
    found, count = _Events(), FruitlessCount()
    events, claims, orders = (
        run_subject(claim.thread_id, claim.run_id, kind) for kind in ("event", "claim", "command")
    )
    everything = run_subject(claim.thread_id, claim.run_id, "*")
    for wait in (*REPLICA_WAITS, None):
        covered = False
        async for entry in log.read(everything, after=after):
            after = max(after, entry.stream_sequence)
            if entry.subject == events:
                event = decode_event(entry.data)
                state.apply(event)
                count.see(event)
                found.last = entry.stream_sequence
            elif entry.subject == claims:
                covered = covered or entry.stream_sequence >= claim.fence
                if entry.stream_sequence == claim.fence:
                    found.claimed_at = entry.stored_at
                found.abandoned += entry.stream_sequence < claim.fence and not holder_of(entry).released
            elif entry.subject == orders and entry.stream_sequence > commands.last:
                commands.add(entry)
        if covered:
            found.fruitless = count.count
            return found
        if wait is not None:
            await asyncio.sleep(wait)
    raise UnavailableError(f"{claim.run_id}: the log could not be read up to the claim at {claim.fence}")


async def read_commands(log: RunLog, claim: Claim) -> Commands:
    """All commands that are stored now."""
    commands = Commands()
    async for entry in log.read(run_subject(claim.thread_id, claim.run_id, "command")):
        commands.add(entry)
    return commands
