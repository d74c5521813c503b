"""The legacy path: a run whose events come over a server stream from inference and are kept in this process only.

Whatever watches, folds or shows runs finds them in the log as it finds all others (`LegacyLog`), so nothing else in the
gateway knows of this path. The run lives with those who watch it: when nobody came, or the last one left, it is cancelled.
At another gateway, and after this process's death, it is unavailable until its end is recorded; from then on every gateway finds
what was told of it in one entry of RUNS, so that places which were given out while it went on are good for coming back. Whoever
watches a whole thread sees its legacy runs of this gateway among the others (`LegacyViewers`). Deleting this file deletes the
path (docs/removing-legacy.md).
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeVar

import grpc
import msgspec
import structlog
from bus.api import Claim, Entry, Holder, RunLog
from bus.errors import BusError, UnavailableError
from contracts.codes import RunFailure
from contracts.commands import CancelRun, ExecuteRun
from contracts.events import (
    TERMINAL_TYPES,
    RunEvent,
    RunFailed,
    RunStarted,
    TextRetracted,
    UsageReported,
    decode_event,
    encode_event,
    event_head,
)
from contracts.legacy_log import decode_told, encode_told
from contracts.parts import ReasoningPart, TextPart
from contracts.registry import Registry, cost_microusd
from contracts.run_state import OpenStep, RunState, Snapshot, encode_snapshot
from contracts.subjects import run_subject
from contracts.times import rfc3339
from contracts.usage import Usage
from rpc.v1 import conversation_pb2, inference_pb2
from rpc.v1.inference_pb2_grpc import InferenceServiceStub
from runtime.rpc import connect

from gateway.adapters.conversation import GrpcConversation
from gateway.domain.frames import event_frame, run_event_frame
from gateway.domain.path_flag import LEGACY
from gateway.domain.records import Accepted, Message, Run
from gateway.ports import ClientMessage, LogViewer, Viewer, Viewers

logger = structlog.get_logger()

FIRST_VIEWER_SECONDS: Final = 10.0
"""How long a run goes on before anybody watches it."""
LEFT_SECONDS: Final = 1.0
"""How long it goes on without anybody, once somebody watched: long enough for a connection that is made anew at once."""
FIRST_EVENT_SECONDS: Final = 10.0
KEPT_SECONDS: Final = 60.0
"""How long an ended run is kept, for viewers who come before its end is recorded."""
STOP_SECONDS: Final = 2.0
"""How long a run that was given up may take to end by itself, before its call is cut."""
PIECE_BYTES: Final = 65_536
BYTES_PER_TOKEN: Final = 4
"""As inference estimates a call whose provider never told."""
ELSEWHERE: Final = 10_000
TOLD: Final = 32
"""Ended runs that are kept here as they were told, for who comes back to them: some 0.3 kB an event."""
KEEP_SECONDS: Final = 2.0
SETTLE_SECONDS: Final = 15.0
"""As long as a worker takes to start again, where it was the only one."""
RECORD_TRIES: Final = 20
RECORD_CALL_SECONDS: Final = 5.0
E = TypeVar("E", bound=RunEvent)
LOST_SENTENCE: Final = (
    "The answer was lost: what produced it died or cannot be reached. What is shown is stored; ask again."
)


class LegacyRuns:
    """The legacy runs that this gateway started, and those it knows to be elsewhere."""

    def __init__(self, addresses: str, *, now: Any, models: Registry | None = None) -> None:
        self._models: Final = models
        self._channel: Final = connect(addresses)
        self._inference: Final = InferenceServiceStub(self._channel)
        self._now: Final = now
        self._runs: dict[str, _LegacyRun] = {}
        self._elsewhere: OrderedDict[str, None] = OrderedDict()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._told: OrderedDict[str, list[Entry]] = OrderedDict()
        self._threads: dict[str, int] = {}
        self._wakers: dict[str, set[Callable[[], None]]] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self.recorder: Callable[[bytes], Awaitable[None]] | None = None
        self.commands: RunLog | None = None
        self.publish: Callable[..., Awaitable[int]] | None = None

    def start(self, command: bytes) -> None:
        """Carry out a run that was just accepted."""
        wanted = msgspec.json.decode(command, type=ExecuteRun)
        self._runs[wanted.run_id] = _LegacyRun(self, wanted, command)

    def note(self, run: Run, message: Message | None) -> None:
        """Remember a run that somebody asks about and that is not here: until it has ended, its log is at another gateway."""
        if run.path != LEGACY or run.id in self._runs:
            return
        if message is None:
            self._elsewhere[run.id] = None
            _shorten(self._elsewhere, ELSEWHERE)
            return
        self._elsewhere.pop(run.id, None)
        self._ended[run.id] = run.final_sequence
        _shorten(self._ended, ELSEWHERE)

    async def recall(self, log: RunLog, subject: str) -> Sequence[Entry] | None:
        """The events of a run that has ended and is not here, as they were told; None for any other subject, and where that was
        not kept. Raises UnavailableError."""
        _, thread_id, run_id, kind = [*subject.split("."), "", ""][:4]
        if kind != "event" or run_id not in self._ended:
            return None
        found = self._told.get(run_id)
        if found is None:
            kept = await log.last(run_subject(thread_id, run_id, "legacy"))
            told = [] if kept is None else decode_told(kept.data)
            final = self._ended.pop(run_id, 0)
            if len(told) != final:
                # Also where somebody else ended it first, otherwise: what is stored is the answer then.
                return None
            self._ended[run_id] = final
            found = self._told[run_id] = [
                Entry(subject, data, sequence, sequence - 1) for sequence, data in enumerate(told, 1)
            ]
            _shorten(self._told, TOLD)
        return found

    async def keep(self, entries: Sequence[Entry]) -> None:
        """Keep what was told of a run that inference could not bring to an end."""
        _, thread_id, run_id, _ = entries[0].subject.split(".")
        subject = run_subject(thread_id, run_id, "legacy")
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                if self.publish is not None:
                    await self.publish(subject, encode_told([entry.data for entry in entries]), message_id=subject)
        except (BusError, TimeoutError) as error:
            logger.warning("legacy.unkept", subject=subject, error=str(error))

    def find(self, subject: str, *, strict: bool) -> "_LegacyRun | None":
        """The run that a subject belongs to, if it is here. `strict`: raises UnavailableError where it is at another gateway."""
        tokens = subject.split(".")
        if len(tokens) != 4:
            return None
        run = self._runs.get(tokens[2])
        if run is None and strict and tokens[2] in self._elsewhere:
            raise UnavailableError(
                "the answer is being written at another gateway and is there to be read when it has ended"
            )
        return run

    def forget(self, run_id: str) -> None:
        """Nothing more will be read of it here."""
        self._runs.pop(run_id, None)

    def watch_thread(self, thread_id: str, change: int) -> None:
        """A viewer of a whole thread came (1) or left (-1): runs of the thread are not alone while there is one."""
        self._threads[thread_id] = self._threads.get(thread_id, 0) + change
        if self._threads[thread_id] == 0:
            del self._threads[thread_id]
            for run in self._runs.values():
                if run.thread_id == thread_id:
                    run.check_soon()

    def watches_thread(self, thread_id: str) -> bool:
        """Somebody watches the whole thread."""
        return thread_id in self._threads

    def of_thread(self, thread_id: str) -> "list[_LegacyRun]":
        """The runs of a thread that are here, and those that ended a moment ago."""
        return [run for run in self._runs.values() if run.thread_id == thread_id]

    def listen(self, thread_id: str, wake: Callable[[], None], *, on: bool) -> None:
        """Call `wake` at every event of the thread's runs, or no longer."""
        wakers = self._wakers.setdefault(thread_id, set())
        (wakers.add if on else wakers.discard)(wake)
        if not wakers:
            del self._wakers[thread_id]

    def heard(self, thread_id: str) -> None:
        """A run of the thread has one more event."""
        for wake in self._wakers.get(thread_id, ()):
            wake()

    def cost(self, model: str, usage: Usage) -> int | None:
        """By the price list."""
        found = None if self._models is None else self._models.models.get(model)
        return None if found is None else cost_microusd(found, usage)

    def stop(self, command: ExecuteRun, ended: Awaitable[None], cut: Callable[[], None]) -> None:
        """Have a run stopped that nobody watches, as a person would stop it, and cut its call when it does not end. A call that
        is cut without that says that its gateway died."""
        task = asyncio.create_task(self._stop(command, ended, cut), name=f"stop {command.run_id}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _stop(self, command: ExecuteRun, ended: Awaitable[None], cut: Callable[[], None]) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self.commands is not None:
                    stop = msgspec.json.encode(CancelRun(by=command.user_id, at=self.stamp()))
                    message_id = f"{command.run_id}:cancel"
                    await self.commands.append_command(command.thread_id, command.run_id, stop, message_id=message_id)
                    await ended
        except (BusError, TimeoutError) as error:
            logger.warning("legacy.unstopped", run_id=command.run_id, error=str(error))
        finally:
            cut()

    def call(self, command: bytes) -> Any:
        """The server stream of a run."""
        return self._inference.Generate(inference_pb2.GenerateRequest(command=command), wait_for_ready=True)

    def stamp(self) -> str:
        """Now, as events carry it."""
        return rfc3339(self._now())

    async def record(self, state: RunState) -> None:
        """Have the end of a run stored that inference could not bring to one."""
        snapshot = encode_snapshot(Snapshot(state=state, stream_sequence=0))
        for _ in range(RECORD_TRIES):
            try:
                if self.recorder is not None:
                    await self.recorder(snapshot)
                return
            except grpc.aio.AioRpcError as error:
                logger.warning("legacy.unrecorded", run_id=state.run_id, status=error.code().name)
                await asyncio.sleep(0.5)

    async def settle(self, user_id: str, booked: UsageReported) -> None:
        """Have the user's budget right about a call that died with its worker: any other can."""
        call = inference_pb2.SettleCallRequest(
            user_id=user_id,
            run_id=booked.run_id,
            step=booked.step,
            attempt=booked.of_attempt,
            model=booked.model,
            cost_microusd=booked.cost_microusd or 0,
        )
        try:
            await self._inference.SettleCall(call, timeout=SETTLE_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            # What was set aside counts as spent once it has expired.
            logger.warning("legacy.unsettled", run_id=booked.run_id, status=error.code().name)

    async def close(self) -> None:
        """End every run: they live with this process."""
        tasks = [run.task for run in self._runs.values()]
        for run in list(self._runs.values()):
            run.cut()
        await asyncio.gather(*tasks, *self._stopping, return_exceptions=True)
        await self._channel.close()


class _LegacyRun:
    """One run. Its entries are numbered like its events."""

    def __init__(self, runs: LegacyRuns, command: ExecuteRun, encoded: bytes) -> None:
        self.thread_id: Final = command.thread_id
        self.run_id: Final = command.run_id
        self.entries: list[Entry] = []
        self._runs: Final = runs
        self._command: Final = command
        self._subject: Final = run_subject(command.thread_id, command.run_id, "event")
        self._viewers = 0
        self._over = False
        self._given_up = False
        self._ended = asyncio.Event()
        self._arrived = asyncio.Event()
        self._loop: Final = asyncio.get_running_loop()
        self._call = runs.call(encoded)
        self._timer = self._loop.call_later(FIRST_VIEWER_SECONDS, self._check)
        self.task: Final = asyncio.create_task(self._run(), name=f"legacy {command.run_id}")

    @asynccontextmanager
    async def follow(self, after: int) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
        """RunLog.follow; whoever is inside watches the run."""
        self._viewers += 1
        self._timer.cancel()
        try:
            yield self._batches(after)
        finally:
            self._viewers -= 1
            self.check_soon()

    def after(self, sequence: int) -> list[Entry]:
        """What there is above a sequence."""
        return self.entries[max(sequence, 0) :]

    def check_soon(self) -> None:
        """See in a moment whether anybody is left."""
        if not self._over and not self._viewers:
            self._timer.cancel()
            self._timer = self._loop.call_later(LEFT_SECONDS, self._check)

    def retraction(self) -> RunEvent:
        """Takes back all text of the run, for viewers who may have had some."""
        return TextRetracted(
            thread_id=self.thread_id, run_id=self.run_id, sequence=1, attempt=1, at=self._runs.stamp(), from_sequence=1
        )

    def cut(self) -> None:
        """End the call: inference records what there is, as the answer of a gateway that died."""
        self._timer.cancel()
        self._call.cancel()
        self._ended.set()
        if not self._over:
            self._over = True
            self._runs.forget(self._command.run_id)
            logger.info("legacy.cut", run_id=self._command.run_id, sequence=len(self.entries))

    def _check(self) -> None:
        if not (self._given_up or self._viewers or self._runs.watches_thread(self.thread_id)):
            self._given_up = True
            logger.info("legacy.abandoned", run_id=self._command.run_id, sequence=len(self.entries))
            self._runs.stop(self._command, self._has_ended(), self._cut_unless_over)

    async def _has_ended(self) -> None:
        await self._ended.wait()

    def _cut_unless_over(self) -> None:
        if not self._over:
            self.cut()

    async def _batches(self, after: int) -> AsyncIterator[Sequence[Entry]]:
        while True:
            found = self.after(after)
            if found:
                after = found[-1].stream_sequence
                yield found
            else:
                arrived = self._arrived
                await arrived.wait()

    async def _run(self) -> None:
        trouble = "the stream ended without an end of the run"
        try:
            async with asyncio.timeout(FIRST_EVENT_SECONDS) as deadline:
                async for response in self._call:
                    deadline.reschedule(None)
                    self._add(response.event)
        except grpc.aio.AioRpcError as error:
            trouble = error.code().name
        except TimeoutError:
            trouble = "no worker answered"
        except asyncio.CancelledError:
            if not self._over:
                raise
            return
        if not self._over:
            self._call.cancel()
            logger.error("legacy.lost", run_id=self._command.run_id, error=trouble)
            await self._fail()

    def _add(self, data: bytes) -> None:
        if self._over:
            return
        sequence = len(self.entries) + 1
        self.entries.append(Entry(self._subject, data, sequence, sequence - 1))
        if event_head(data)[0] in TERMINAL_TYPES:
            self._end()
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()
        self._runs.heard(self.thread_id)

    def _end(self) -> None:
        self._over = True
        self._ended.set()
        self._timer.cancel()
        self._timer = self._loop.call_later(KEPT_SECONDS, self._runs.forget, self._command.run_id)

    async def _fail(self) -> None:
        """The worker is gone: end the run here, with what was shown."""
        state = RunState(run_id=self._command.run_id, thread_id=self.thread_id)
        for entry in self.entries:
            state.apply(decode_event(entry.data))
        if not self.entries:
            self._say(state, RunStarted, message_id=self._command.message_id, model=self._command.model, path=LEGACY)
        booked = [
            self._book(state, step)
            for step in list(state.open_steps.values())
            if step.kind == "model" and step.finish_reason is None
        ]
        self._say(
            state,
            RunFailed,
            message_id=self._command.message_id,
            code=RunFailure.ORPHANED.value,
            message=LOST_SENTENCE,
            usage=state.usage,
            cost_microusd=state.cost_microusd,
        )
        await self._runs.keep(self.entries)
        await self._runs.record(state)
        for call in booked:
            await self._runs.settle(self._command.user_id, call)

    def _book(self, state: RunState, step: OpenStep) -> UsageReported:
        """The call that died with its worker is in the ledger too: estimated from what was shown of it."""
        texts = [part.value for part in state.parts.values() if part.step == step.step]
        written = "".join(text.text for text in texts if isinstance(text, TextPart))
        thought = "".join(text.text for text in texts if isinstance(text, ReasoningPart))
        reasoning = _tokens(thought)
        usage = Usage(
            input_tokens=step.input_tokens,
            output_tokens=_tokens(written) + reasoning,
            reasoning_tokens=reasoning,
            estimated=True,
        )
        return self._say(
            state,
            UsageReported,
            step=step.step,
            of_attempt=step.attempt,
            model=step.name,
            usage=usage,
            cost_microusd=self._runs.cost(step.name, usage),
        )

    def _say(self, state: RunState, kind: type[E], **fields: Any) -> E:
        event = kind(
            thread_id=self.thread_id,
            run_id=self._command.run_id,
            sequence=state.sequence + 1,
            attempt=max(state.attempt, 1),
            at=self._runs.stamp(),
            **fields,
        )
        state.apply(event)
        self._add(encode_event(event))
        return event


def _shorten(known: OrderedDict[str, Any], most: int) -> None:
    while len(known) > most:
        known.popitem(last=False)


def _tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


class LegacyViewers:
    """`ports.Viewers`, where whoever watches a thread also gets what legacy runs of this gateway say in it."""

    def __init__(self, viewers: Viewers, runs: LegacyRuns) -> None:
        self._viewers: Final = viewers
        self._runs: Final = runs

    def of_log(self, subject_filter: str, *, after: int, until_terminal: bool) -> LogViewer:
        """See ports.Viewers."""
        viewer = self._viewers.of_log(subject_filter, after=after, until_terminal=until_terminal)
        tokens = subject_filter.split(".")
        return _ThreadViewer(viewer, self._runs, tokens[1], seen=after > 0) if tokens[2] == "*" else viewer

    def first_shown(self, run_id: str) -> float | None:
        """See ports.Viewers."""
        return self._viewers.first_shown(run_id)

    async def of_feed(self, user_id: str, *, after: int | None) -> Viewer:
        """See ports.Viewers."""
        return await self._viewers.of_feed(user_id, after=after)


class _ThreadViewer:
    """A viewer of a thread. `seen`: it was here before and may have had some of any run, which is first taken back."""

    def __init__(self, inner: LogViewer, runs: LegacyRuns, thread_id: str, *, seen: bool) -> None:
        self._inner: Final = inner
        self._runs: Final = runs
        self._thread_id: Final = thread_id
        self._seen: Final = frozenset(run.run_id for run in runs.of_thread(thread_id)) if seen else frozenset[str]()
        self._places: dict[str, tuple[_LegacyRun, int]] = {}
        self._left_out: frozenset[str] = frozenset()
        self._cursor = ""
        runs.listen(thread_id, inner.wake, on=True)

    @property
    def cursor(self) -> str:
        """See ports.Viewer. After a legacy event it is one that no stream has, so that a reconnect begins anew."""
        return self._cursor or self._inner.cursor

    @property
    def ended(self) -> bool:
        """See ports.Viewer."""
        return self._inner.ended

    async def take(self) -> bytes:
        """See ports.Viewer."""
        piece = b"".join(self._fresh())
        if piece:
            return piece
        piece = await self._inner.take()
        if piece:
            self._cursor = ""
        return piece or b"".join(self._fresh())

    def _fresh(self) -> Iterable[bytes]:
        size = 0
        here = self._runs.of_thread(self._thread_id)
        for run in here:
            self._places.setdefault(run.run_id, (run, 0))
        for run_id, (run, place) in list(self._places.items()):
            if run_id in self._left_out:
                continue
            if place == 0 and run_id in self._seen and run.entries:
                yield event_frame(None, run.retraction())
            while place < len(run.entries) and size < PIECE_BYTES:
                _, sequence, frame = run_event_frame(0, run.entries[place].data)
                place, size, self._cursor = place + 1, size + len(frame), f"0-{sequence}"
                yield frame
            self._places[run_id] = run, place
            if run not in here and place == len(run.entries):
                del self._places[run_id]

    def wake(self) -> None:
        """See ports.Viewer."""
        self._inner.wake()

    async def close(self) -> None:
        """See ports.Viewer."""
        self._runs.listen(self._thread_id, self._inner.wake, on=False)
        await self._inner.close()

    async def peek(self) -> Entry | None:
        """See ports.LogViewer."""
        return await self._inner.peek()

    def skip(self) -> None:
        """See ports.LogViewer."""
        self._inner.skip()

    def leave_out(self, run_ids: frozenset[str]) -> None:
        """See ports.LogViewer."""
        self._left_out = run_ids
        self._inner.leave_out(run_ids)


class LegacyLog:
    """A RunLog that has this gateway's legacy runs beside what the broker stores. Of a run at another gateway it knows
    nothing, or says so if it is `strict`: who shows what is known can live with nothing, who watches would wait for ever."""

    def __init__(self, log: RunLog, runs: LegacyRuns, *, strict: bool) -> None:
        self._log: Final = log
        self._runs: Final = runs
        self._strict: Final = strict
        runs.commands = log

    async def holder(self, thread_id: str, run_id: str) -> Holder | None:
        return await self._log.holder(thread_id, run_id)

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: Holder | None) -> Claim:
        return await self._log.claim(thread_id, run_id, worker=worker, delivery=delivery, after=after)

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._log.append(claim, sequence, data)

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        return await self._log.append_together(claim, sequence, data)

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._log.snapshot(claim, sequence, data)

    async def release(self, claim: Claim) -> None:
        await self._log.release(claim)

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        return await self._log.confirm_released(thread_id, run_id, after=after)

    async def append_command(
        self, thread_id: str, run_id: str, data: bytes, *, message_id: str, after: int | None = None
    ) -> int:
        # The worker hears it from the broker, whichever gateway has the run.
        return await self._log.append_command(thread_id, run_id, data, message_id=message_id, after=after)

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[Entry]:
        run = self._runs.find(subject_filter, strict=self._strict)
        told = None if run is not None else await self._runs.recall(self._log, subject_filter)
        if told is not None:
            for entry in told[max(after, 0) :]:
                yield entry
        elif run is None:
            async for entry in self._log.read(subject_filter, after=after):
                yield entry
        elif subject_filter.endswith(".event"):
            for entry in run.after(after):
                yield entry

    async def last(self, subject: str) -> Entry | None:
        is_event = subject.endswith(".event")
        run = self._runs.find(subject, strict=self._strict or is_event)
        if run is None:
            told = await self._runs.recall(self._log, subject)
            return told[-1] if told else await self._log.last(subject)
        return run.entries[-1] if run.entries and is_event else None

    def follow(
        self, subject_filter: str, *, after: int = 0
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Entry]]]:
        run = self._runs.find(subject_filter, strict=self._strict)
        if run is not None:
            return run.follow(after)
        tokens = subject_filter.split(".")
        if len(tokens) == 4 and tokens[2] == "*":
            return self._follow_thread(tokens[1], subject_filter, after)
        return self._follow_told(subject_filter, after)

    @asynccontextmanager
    async def _follow_told(self, subject: str, after: int) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
        told = await self._runs.recall(self._log, subject)
        if told is not None:
            yield _once(told[max(after, 0) :])
            return
        async with self._log.follow(subject, after=after) as batches:
            yield batches

    @asynccontextmanager
    async def _follow_thread(
        self, thread_id: str, subject_filter: str, after: int
    ) -> AsyncIterator[AsyncIterator[Sequence[Entry]]]:
        self._runs.watch_thread(thread_id, 1)
        try:
            async with self._log.follow(subject_filter, after=after) as batches:
                yield batches
        finally:
            self._runs.watch_thread(thread_id, -1)

    async def purge_thread(self, thread_id: str) -> None:
        await self._log.purge_thread(thread_id)


async def _once(entries: Sequence[Entry]) -> AsyncIterator[Sequence[Entry]]:
    if entries:
        yield entries
    await asyncio.Event().wait()


class LegacyConversation(GrpcConversation):
    """Conversation, where a message that is answered by the legacy path starts its run here and now."""

    def __init__(self, addresses: str, *, deadline: float, runs: LegacyRuns) -> None:
        super().__init__(addresses, deadline=deadline)
        self._runs: Final = runs
        runs.recorder = self._record_run

    async def accept_message(self, user_id: str, thread_id: str, **fields: Any) -> Accepted:
        """See ports.Conversation."""
        return self._started(await super().accept_message(user_id, thread_id, **fields))

    async def accept(self, user_id: str, thread_id: str, message: ClientMessage) -> Accepted:
        """See ports.ClientThreads."""
        return self._started(await super().accept(user_id, thread_id, message))

    async def get_run(self, user_id: str, run_id: str, *, commanding: bool = False) -> tuple[Run, Message | None]:
        """See ports.Conversation."""
        run, message = await super().get_run(user_id, run_id, commanding=commanding)
        self._runs.note(run, message)
        return run, message

    async def _record_run(self, snapshot: bytes) -> None:
        await self._stub.RecordRun(conversation_pb2.RecordRunRequest(snapshot=snapshot), timeout=RECORD_CALL_SECONDS)

    def _started(self, accepted: Accepted) -> Accepted:
        if accepted.command:
            self._runs.start(accepted.command)
        return accepted
