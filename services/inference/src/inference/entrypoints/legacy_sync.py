"""The legacy path: a run carried out for the caller of a server stream, who gets its events, and gone with that caller.

It is the same work by the same handlers as on the durable path. Only the log is another: what a worker appends goes to the
caller instead of the broker, and the final snapshot to conversation. What the caller was told is kept in one piece before that, so
that no gateway tells it otherwise to who comes back after the end. Deleting this file deletes the path
(docs/removing-legacy.md).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Final

import grpc
import msgspec
import structlog
from bus.api import Claim, Delivery, Entry, Holder, RunLog
from bus.claims import encode_claim
from bus.errors import BusError, ClaimLostError
from contracts.codes import Code, RunFailure
from contracts.commands import ExecuteRun
from contracts.events import RunFailed, encode_event
from contracts.ids import MESSAGE, RUN, THREAD, check_id
from contracts.legacy_log import encode_told
from contracts.run_state import RunState, decode_snapshot, encode_snapshot
from contracts.subjects import run_subject
from rpc.v1 import conversation_pb2, inference_pb2
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub
from rpc.v1.inference_pb2_grpc import InferenceServiceServicer
from runtime import rpc

from inference.domain.budget import call_key
from inference.domain.interruptions import Cancelled
from inference.entrypoints.commands import check_deadline
from inference.handlers.drain_runs import drain_runs
from inference.handlers.execute_run import RunExecutor
from inference.handlers.running import RunningRuns
from inference.ports import Parts, Peers, Telemetry

logger = structlog.get_logger()

WAITING: Final = 64
"""Events that may wait for a slow caller; then the writer waits, and deltas join meanwhile."""
RECORD_SECONDS: Final = 60.0
RECORD_CALL_SECONDS: Final = 5.0
RECORD_RETRY_SECONDS: Final = 0.5
KEEP_SECONDS: Final = 2.0
"""How long the end of a run waits for what was told to be kept. Without it, who comes back is told anew, from what is stored."""
DIED_SENTENCE: Final = "The answer was lost: the gateway that passed it on died. What is shown is stored; ask again."

Context = grpc.aio.ServicerContext[Any, Any]
Record = Callable[[bytes], Awaitable[None]]
Keep = Callable[[str, bytes], Awaitable[None]]
"""Keeps data under a subject."""
_decoder = msgspec.json.Decoder(ExecuteRun)


class LegacySync(InferenceServiceServicer):
    """proto/rpc/v1/inference.proto. `commands` is the broker's log: a stop may come from any device, over any gateway. `publish` is
    `Bus.publish`."""

    def __init__(
        self,
        parts: Parts,
        *,
        worker: str,
        peers: Peers,
        telemetry: Telemetry,
        commands: RunLog,
        publish: Callable[..., Awaitable[int]],
        conversation: grpc.aio.Channel,
    ) -> None:
        self._parts, self._worker, self._peers, self._telemetry = parts, worker, peers, telemetry
        self._commands, self._publish = commands, publish
        self._conversation = ConversationServiceStub(conversation)
        self._running = RunningRuns()

    async def Generate(
        self, request: inference_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[inference_pb2.GenerateResponse]:
        command = await _command_in(request, context)
        log = _CallersLog(command, self._commands, self._keep, self._record)
        executor = RunExecutor(
            # Nobody would carry it on: it cannot wait for a person or a time.
            replace(self._parts, log=log, timers=None),
            worker=self._worker,
            running=self._running,
            peers=self._peers,
            telemetry=self._telemetry,
        )
        delivery = Delivery(subject="", data=request.command, stream_sequence=1, delivered=1, reply="")
        working = asyncio.create_task(executor.execute(command, delivery), name=f"legacy {command.run_id}")
        working.add_done_callback(lambda _: log.end())

        def left(_: Any) -> None:
            # Called at the end of every call. Where the run goes on its caller has died: one whose client went away stops the
            # run as a person would, and waits for its end.
            log.nobody_reads()
            run = self._running.find(command.run_id)
            if run is not None and not log.has_ended:
                logger.info("legacy.left", run_id=command.run_id)
                log.caller_died = True
                run.interrupt(Cancelled(command.user_id))

        context.add_done_callback(left)  # type: ignore[arg-type]  # the stubs name a class where grpc takes any callable
        async for event in log.appended():
            yield inference_pb2.GenerateResponse(event=event)
        await working

    async def SettleCall(
        self, request: inference_pb2.SettleCallRequest, context: Context
    ) -> inference_pb2.SettleCallResponse:
        key = call_key(request.run_id, request.step, request.attempt, request.model)
        await self._parts.budgets.correct(request.user_id, key, request.cost_microusd)
        return inference_pb2.SettleCallResponse()

    async def drain(self, *, grace: float) -> None:
        """Let runs finish for `grace` seconds, then leave them: their gateways record that they failed."""
        await drain_runs(self._running, grace=grace)

    async def _keep(self, subject: str, told: bytes) -> None:
        """Keep what was told. The first who does counts, this worker or the gateway that lost it."""
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                await self._publish(subject, told, message_id=subject)
        except (BusError, TimeoutError) as error:
            logger.warning("legacy.unkept", subject=subject, error=str(error))

    async def _record(self, snapshot: bytes) -> None:
        """Have the result stored; tried for a minute, since nobody else has it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + RECORD_SECONDS
        while True:
            try:
                await self._conversation.RecordRun(
                    conversation_pb2.RecordRunRequest(snapshot=snapshot), timeout=RECORD_CALL_SECONDS
                )
                return
            except grpc.aio.AioRpcError as error:
                if loop.time() > deadline:
                    logger.error("legacy.unrecorded", status=error.code().name)
                    return
                await asyncio.sleep(RECORD_RETRY_SECONDS)


async def _command_in(request: inference_pb2.GenerateRequest, context: Context) -> ExecuteRun:
    try:
        command = _decoder.decode(request.command)
        check_id(RUN, command.run_id)
        check_id(THREAD, command.thread_id)
        check_id(MESSAGE, command.message_id)
        check_deadline(command.deadline_at)
    except ValueError as error:  # what msgspec raises is one as well
        sentence = f"This is no command to execute a run: {error}"
        await rpc.abort(context, grpc.StatusCode.INVALID_ARGUMENT, Code.BODY_INVALID, sentence)
    return command


class _CallersLog:
    """A RunLog that is one call: nobody else can hold the run, and nothing of it can be read again."""

    def __init__(self, command: ExecuteRun, commands: RunLog, keep: Keep, record: Record) -> None:
        self._thread_id, self._run_id = command.thread_id, command.run_id
        self._commands, self._keep, self._record = commands, keep, record
        self._told: list[bytes] = []
        self._claim: Claim | None = None
        self._events: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._is_read, self._is_over = True, False
        self.has_ended = False
        """The terminal event is written."""
        self.caller_died = False
        """Nobody was there for its end."""

    async def appended(self) -> AsyncIterator[bytes]:
        """What is appended, until `end`."""
        while True:
            while self._events:
                event = self._events.popleft()
                if len(self._events) < WAITING:
                    self._room.set()
                yield event
            if self._is_over:
                return
            self._changed.clear()
            await self._changed.wait()

    def end(self) -> None:
        """Nothing more will be appended."""
        self._is_over = True
        self._changed.set()

    def nobody_reads(self) -> None:
        """Let appends pass: whoever waits for room goes on."""
        self._is_read = False
        self._events.clear()
        self._room.set()

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        return None

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: Holder | None) -> Claim:
        self._claim = Claim(thread_id=thread_id, run_id=run_id, worker=worker, attempt=1, fence=1)
        return self._claim

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        self._told.append(data)
        if self._is_read:
            self._events.append(data)
            self._changed.set()
            if len(self._events) >= WAITING:
                self._room.clear()
                await self._room.wait()
        return claim.fence + sequence

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        for number, one in enumerate(data, start=sequence):
            await self.append(claim, number, one)
        return claim.fence + sequence + len(data) - 1

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        snapshot = decode_snapshot(data)
        state = snapshot.state
        if state.is_terminal:
            self.has_ended = True
            if self.caller_died and state.status == "cancelled":
                # Nobody stopped it: it was lost with its gateway.
                state.status, state.cancelled_by = "error", None
                state.error_code, state.error_message = RunFailure.ORPHANED.value, DIED_SENTENCE
                data = encode_snapshot(snapshot)
                self._told[-1] = encode_event(_orphaned(state))
            # Before the end is recorded: whoever finds it, finds this.
            await self._keep(run_subject(self._thread_id, self._run_id, "legacy"), encode_told(self._told))
            await self._record(data)
        return claim.fence + sequence

    async def release(self, claim: Claim) -> None:
        self._claim = None

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        raise ClaimLostError("the run lives with one call, which never lets go of it to go on later")

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        return await self._commands.append_command(thread_id, run_id, data, message_id=message_id, after=after)

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        # The claim is all there is: a legacy run begins with this call. (A stop that came before is in what follows.)
        claims = run_subject(self._thread_id, self._run_id, "claim")
        if self._claim is not None and subject_filter == run_subject(self._thread_id, self._run_id, "*"):
            yield Entry(claims, encode_claim(worker=self._claim.worker, attempt=1, delivery=""), self._claim.fence)

    async def last(self, subject: str) -> Entry | None:
        return None

    def follow(
        self, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        return self._commands.follow(subject_filter, after=after)

    async def purge_thread(self, thread_id: str) -> None:
        await self._commands.purge_thread(thread_id)


def _orphaned(state: RunState) -> RunFailed:
    """The terminal event of a run whose gateway died, in place of the one that stopped it."""
    return RunFailed(
        thread_id=state.thread_id,
        run_id=state.run_id,
        sequence=state.sequence,
        attempt=max(state.attempt, 1),
        at=state.ended_at or state.started_at or "",
        message_id=state.message_id,
        code=RunFailure.ORPHANED.value,
        message=DIED_SENTENCE,
        usage=state.usage,
        cost_microusd=state.cost_microusd,
    )
