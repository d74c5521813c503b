"""The broker as the handlers need it."""

from datetime import datetime

from bus.api import Bus, Claim
from contracts import events as e
from contracts.run_state import RunState, Snapshot, decode_snapshot, encode_snapshot
from contracts.subjects import execute_subject, run_subject
from contracts.times import rfc3339
from contracts.topology import COMMANDS

from conversation.domain.entities import Outgoing, Run


class BusBroker:
    """ports.Broker over one connection."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def say(self, outgoing: Outgoing) -> None:
        await self._bus.publish(outgoing.subject, outgoing.payload, message_id=outgoing.message_id)

    async def forget_log(self, thread_id: str) -> None:
        await self._bus.run_log.purge_thread(thread_id)

    async def is_command_waiting(self, run_id: str) -> bool:
        return await self._bus.last_of(COMMANDS.name, execute_subject(run_id)) is not None

    async def state_of(self, run: Run) -> RunState:
        return (await self._fold(run))[0]

    async def is_commanded(self, run: Run) -> bool:
        command = await self._bus.run_log.last(run_subject(run.thread_id, run.id, "command"))
        event = await self._bus.run_log.last(run_subject(run.thread_id, run.id, "event"))
        return command is not None and (event is None or command.stream_sequence > event.stream_sequence)

    async def fail_run(self, run: Run, *, code: str, sentence: str, now: datetime) -> None:
        log = self._bus.run_log
        holder = await log.holder(run.thread_id, run.id)
        claim = await log.claim(run.thread_id, run.id, worker=self._bus.name, delivery="", after=holder)
        state, position = await self._fold(run)
        at = rfc3339(now)
        if not state.is_terminal:
            if state.sequence == 0:
                position = await self._append(
                    claim,
                    state,
                    e.RunStarted(
                        thread_id=run.thread_id,
                        run_id=run.id,
                        sequence=1,
                        attempt=claim.attempt,
                        at=at,
                        message_id=run.message_id,
                        model=run.model,
                        path=run.path,
                    ),
                )
            position = await self._append(
                claim,
                state,
                e.RunFailed(
                    thread_id=run.thread_id,
                    run_id=run.id,
                    sequence=state.sequence + 1,
                    attempt=claim.attempt,
                    at=at,
                    message_id=run.message_id,
                    code=code,
                    message=sentence,
                    usage=state.usage,
                    cost_microusd=state.cost_microusd,
                ),
            )
        await log.snapshot(claim, state.sequence, encode_snapshot(Snapshot(state=state, stream_sequence=position)))
        await log.release(claim)

    async def _append(self, claim: Claim, state: RunState, event: e.RunEvent) -> int:
        position = await self._bus.run_log.append(claim, event.sequence, e.encode_event(event))
        state.apply(event)
        return position

    async def _fold(self, run: Run) -> tuple[RunState, int]:
        stored = await self._bus.run_log.last(run_subject(run.thread_id, run.id, "snapshot"))
        state, position = RunState(run_id=run.id, thread_id=run.thread_id), 0
        if stored is not None:
            snapshot = decode_snapshot(stored.data)
            state, position = snapshot.state, snapshot.stream_sequence
        async for entry in self._bus.run_log.read(run_subject(run.thread_id, run.id, "event"), after=position):
            event = e.decode_event(entry.data)
            if event.sequence > state.sequence:
                state.apply(event)
            position = entry.stream_sequence
        return state, position
