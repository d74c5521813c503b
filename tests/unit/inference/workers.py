"""Workers as bootstrap assembles them, over the bus in memory, with a model, a context and a clock written by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import msgspec
from bus.api import Claim, Entry, Holder, RunLog
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.commands import CancelRun, ExecuteRun
from contracts.ids import new_id
from contracts.registry import Continuation, Model, Provider, Registry
from contracts.run_state import RunState, decode_snapshot
from contracts.subjects import execute_subject, run_subject
from contracts.times import rfc3339
from contracts.topology import EXECUTE
from inference.adapters.bus_peers import AdoptQuestion, BusPeers, decode_question, encode_answer
from inference.agents.domain.config import Agents, read_agents
from inference.domain.peers import PeerClaims
from inference.domain.retry import RetryPolicy
from inference.domain.run_input import RunInput, StoredMessage
from inference.domain.tool_calls import ToolRequest
from inference.entrypoints.commands import commands_subscriber
from inference.entrypoints.peers import hearing_peers
from inference.handlers.drain_runs import drain_runs
from inference.handlers.execute_run import RunExecutor
from inference.handlers.running import RunningRuns
from inference.ports import (
    Budgets,
    Clock,
    Generated,
    InputUnavailableError,
    ModelCall,
    Models,
    NoBudgets,
    NoTools,
    Parts,
    RunGoneError,
    Sink,
    Tools,
)

PIECES = ["Once ", "upon ", "a ", "tïme ", "there ", "was ", "a ", "log."]
TEXT = "".join(PIECES)
AGENTS = read_agents({"default.toml": 'name = "default"\nsystem_prompt = "Help."\n[limits]\ntokens = 1_000_000'})
T = TypeVar("T")
QUICK_EXECUTE = replace(EXECUTE, ack_wait=0.3)
"""The real consumer, but what a worker died with before its claim comes back sooner."""
QUESTION = "Tell me."
USER = "usr_01JABCDEFGHJKMNPQRSTVWXYZ0"


class FakeClock:
    """Stands still."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def stamp(self) -> str:
        return rfc3339(self.at)

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Call:
    """One call that the model was asked for; `left`: the caller went away before its end."""

    prefix: str
    left: bool = False


@dataclass
class FakeModels:
    """Says PIECES, or what follows the prefix. `hold_at`: how many characters of the answer it says before it waits for
    `go_on`. `errors` are raised first, one a call, after `error_after` characters."""

    pieces: Sequence[str] = tuple(PIECES)
    reasoning: Sequence[str] = ()
    hold_at: int | None = None
    errors: list[Exception] = field(default_factory=list)
    error_after: int = 0
    refuse_prefix: Exception | None = None
    result: Generated = field(default_factory=lambda: Generated(finish_reason="stop"))
    calls: list[Call] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        made = Call(call.prefix)
        self.calls.append(made)
        try:
            return await self._say(call, sink)
        except asyncio.CancelledError:
            made.left = True
            raise

    async def _say(self, call: ModelCall, sink: Sink) -> Generated:
        if call.prefix and self.refuse_prefix is not None:
            raise self.refuse_prefix
        error = self.errors.pop(0) if self.errors else None
        for piece in self.reasoning:
            sink.reasoning(piece)
            await asyncio.sleep(0)
        said = 0
        for piece in self.pieces:
            said += len(piece)
            if said <= len(call.prefix):
                continue
            if error is not None and said > self.error_after:
                raise error
            if self.hold_at is not None and said > self.hold_at and not self.go_on.is_set():
                self.held.set()
                await self.go_on.wait()
            sink.text(
                piece[len(piece) - (said - len(call.prefix)) :] if said - len(piece) < len(call.prefix) else piece
            )
            if sink.is_over:
                return Generated(finish_reason="length")
            if sink.is_full:
                await sink.room()
            await asyncio.sleep(0)
        if error is not None:
            raise error
        return self.result


@dataclass
class FakeInputs:
    """Answers at once, or fails as long as `away` is set."""

    away: bool = False
    gone: bool = False
    asked: int = 0
    content: str = QUESTION

    async def get(self, run_id: str) -> RunInput:
        self.asked += 1
        if self.gone:
            raise RunGoneError(run_id)
        if self.away:
            raise InputUnavailableError("UNAVAILABLE: nobody is there")
        return RunInput(messages=[StoredMessage("user", self.content)])


class NoTelemetry:
    def attempt(
        self, *, run_id: str, attempt: int, path: str, goes_on: bool, resumes: bool = False
    ) -> AbstractContextManager[None]:
        return nullcontext()


class DyingLog:
    """A run log whose process dies at its `writes`-th write: before it is stored, or after, with the answer lost. Then
    `died` is set and nothing of this process goes on."""

    def __init__(self, inner: RunLog, writes: int, *, stored: bool) -> None:
        self._inner, self._left, self._stored = inner, writes, stored
        self.died = asyncio.Event()
        self.holder, self.read, self.last, self.follow = inner.holder, inner.read, inner.last, inner.follow
        self.append_command, self.purge_thread = inner.append_command, inner.purge_thread

    async def claim(self, thread_id: str, run_id: str, *, worker: str, delivery: str, after: object) -> Claim:
        return await self._write(
            lambda: self._inner.claim(thread_id, run_id, worker=worker, delivery=delivery, after=after)  # type: ignore[arg-type]  # passed through
        )

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._write(lambda: self._inner.append(claim, sequence, data))

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        return await self._write(lambda: self._inner.append_together(claim, sequence, data))

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        return await self._write(lambda: self._inner.snapshot(claim, sequence, data))

    async def release(self, claim: Claim) -> None:
        await self._write(lambda: self._inner.release(claim))

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        return await self._write(lambda: self._inner.confirm_released(thread_id, run_id, after=after))

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        self._left -= 1
        if self._left > 0:
            return await write()
        if self._left == 0 and self._stored:
            await write()
        self.died.set()
        await asyncio.Event().wait()
        raise AssertionError("nothing goes on after death")


class FailingLog:
    """A run log that raises `error` at writes number `first` to `last` (events, snapshots and releases)."""

    def __init__(self, inner: RunLog, error: Exception, first: int, last: int) -> None:
        self._inner, self._error, self._failing = inner, error, range(first, last + 1)
        self._writes = 0
        self.holder, self.read, self.last, self.follow = inner.holder, inner.read, inner.last, inner.follow
        self.append_command, self.purge_thread, self.claim = inner.append_command, inner.purge_thread, inner.claim

    async def append(self, claim: Claim, sequence: int, data: bytes) -> int:
        self._count()
        return await self._inner.append(claim, sequence, data)

    async def append_together(self, claim: Claim, sequence: int, data: Sequence[bytes]) -> int:
        self._count()
        return await self._inner.append_together(claim, sequence, data)

    async def snapshot(self, claim: Claim, sequence: int, data: bytes) -> int:
        self._count()
        return await self._inner.snapshot(claim, sequence, data)

    async def release(self, claim: Claim) -> None:
        self._count()
        await self._inner.release(claim)

    async def confirm_released(self, thread_id: str, run_id: str, *, after: Holder) -> int:
        self._count()
        return await self._inner.confirm_released(thread_id, run_id, after=after)

    def _count(self) -> None:
        self._writes += 1
        if self._writes in self._failing:
            raise self._error


def registry(continuation: Continuation, max_output_tokens: int | None = None) -> Registry:
    """Two models of two providers, at 1 and 2 USD per million tokens."""
    models = [
        Model(
            id=f"{provider}:model",
            provider=Provider(name=provider, base_url="http://127.0.0.1:1/v1", api_key_env=""),
            upstream_name="model",
            context_window=8192,
            input=Decimal(1),
            cached_input=None,
            output=Decimal(2),
            continuation=continuation,
            max_output_tokens=max_output_tokens,
            tools=True,
        )
        for provider in ("fake", "other")
    ]
    return Registry(models={model.id: model for model in models}, default="fake:model")


@dataclass
class Worker:
    """One process."""

    bus: MemoryBus
    models: Models
    running: RunningRuns
    claims: PeerClaims
    executor: RunExecutor
    log: RunLog

    async def drain(self, grace: float = 0.0) -> int:
        self.bus.stop_consuming()
        return await drain_runs(self.running, grace=grace)


@dataclass
class Run:
    """One run and what its log holds."""

    bus: MemoryBus
    command: ExecuteRun

    async def events(self) -> list[e.RunEvent]:
        return [e.decode_event(entry.data) for entry in await self._entries("event")]

    async def _entries(self, kind: str) -> list[Entry]:
        subject = run_subject(self.command.thread_id, self.command.run_id, kind)
        return [entry async for entry in self.bus.run_log.read(subject)]

    async def state(self) -> RunState:
        """The fold; raises GapError unless the sequences are gapless."""
        state = RunState(run_id=self.command.run_id, thread_id=self.command.thread_id)
        for event in await self.events():
            state.apply(event)
        return state

    async def snapshot(self) -> RunState | None:
        entries = await self._entries("snapshot")
        return decode_snapshot(entries[-1].data).state if entries else None

    async def until(self, ready: Callable[[RunState], bool]) -> RunState:
        """The state as soon as `ready` says so."""
        async with asyncio.timeout(60):
            while not ready(state := await self.state()):
                await asyncio.sleep(0)
        return state

    async def ended(self) -> RunState:
        """The terminal state, once the run is also given back and its command settled."""
        await self.settled()
        state = await self.state()
        assert state.is_terminal, state
        return state

    async def settled(self) -> None:
        """Return when no command for the run is left."""
        async with asyncio.timeout(60):
            while await self.bus.last_of("COMMANDS", execute_subject(self.command.run_id)):
                await asyncio.sleep(0.001)

    async def cancel(self) -> None:
        data = msgspec.json.encode(CancelRun(by=USER, at=self.command.accepted_at))
        run_id = self.command.run_id
        await self.bus.run_log.append_command(self.command.thread_id, run_id, data, message_id=f"{run_id}:cancel")


class World:
    """A broker, its workers and the publisher of commands."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.broker = Broker(consumers=[QUICK_EXECUTE], clock=lambda: self.clock.at.timestamp())
        self.outside = MemoryBus("outside", self.broker)
        self.inputs = FakeInputs()
        self._stack: list[tuple[MemoryBus, asyncio.Task[None]]] = []

    async def worker(
        self,
        models: Models,
        *,
        continuation: Continuation = "retract",
        log: Callable[[RunLog], RunLog] = lambda inner: inner,
        max_answer_bytes: int = 1_000_000,
        slots: int = 10,
        tools: Tools | None = None,
        agents: Agents = AGENTS,
        budgets: Budgets | None = None,
        max_output_tokens: int | None = None,
        patience: float = 0.3,
        clock: Clock | None = None,
    ) -> Worker:
        """One more worker, taking commands at once."""
        bus = MemoryBus(f"inference-{len(self._stack) + 1}", self.broker)
        running, claims = RunningRuns(), PeerClaims()
        run_log = log(bus.run_log)
        parts = Parts(
            log=run_log,
            inputs=self.inputs,
            models=models,
            registry=registry(continuation, max_output_tokens),
            clock=clock or self.clock,
            retry=RetryPolicy(tries=3, first=0.001, longest=0.001, budget=5.0),
            max_answer_bytes=max_answer_bytes,
            agents=agents,
            tools=tools or NoTools(),
            timers=bus,
            budgets=budgets or NoBudgets(),
        )
        executor = RunExecutor(
            parts,
            worker=bus.name,
            running=running,
            peers=BusPeers(bus, claims, patience=patience),
            telemetry=NoTelemetry(),
        )
        worker = Worker(bus, models, running, claims, executor, run_log)
        started = asyncio.Event()
        task = asyncio.create_task(self._serve(worker, started, slots))
        self._stack.append((bus, task))
        await started.wait()
        return worker

    async def _serve(self, worker: Worker, started: asyncio.Event, slots: int) -> None:
        async with hearing_peers(worker.bus, worker.running, worker.claims, decode=_decode, encode=encode_answer):
            started.set()
            await worker.bus.consume(QUICK_EXECUTE, commands_subscriber(worker.executor), concurrency=slots)

    async def run(self, *, copies: int = 1, model: str = "fake:model", seconds: float = 600.0, agent: str = "") -> Run:
        """Publish the command to execute a new run; more copies are other items that ask for the same run."""
        command = ExecuteRun(
            run_id=new_id("run"),
            thread_id=new_id("thr"),
            message_id=new_id("msg"),
            user_id=USER,
            model=model,
            path="durable_event",
            accepted_at=self.clock.stamp(),
            deadline_at=rfc3339(self.clock.now() + timedelta(seconds=seconds)),
            agent=agent,
        )
        run = Run(self.outside, command)
        for copy in range(copies):
            await self.publish(run, copy)
        return run

    async def publish(self, run: Run, copy: int = 0) -> None:
        subject = execute_subject(run.command.run_id)
        message_id = f"{run.command.run_id}:{copy}"
        await self.outside.publish(subject, msgspec.json.encode(run.command), message_id=message_id)

    async def kill_last(self) -> None:
        """The newest worker is gone."""
        await self.kill(-1)

    async def kill(self, number: int) -> None:
        """A worker is gone, counted from 0."""
        await self._stack[number][0].kill()

    async def close(self) -> None:
        for bus, task in self._stack:
            await bus.kill()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self.broker.close()


def _decode(data: bytes) -> tuple[str, str, int]:
    question: AdoptQuestion = decode_question(data)
    return question.run_id, question.reply, question.stream_sequence


@asynccontextmanager
async def new_world() -> AsyncIterator[World]:
    """A world for one case."""
    world = World()
    try:
        yield world
    finally:
        await world.close()


def tool_result() -> Generated:
    """A call that ends with a request for a tool."""
    return Generated(finish_reason="tool_calls", tool_requests=[ToolRequest("call_1", "time", {})])
