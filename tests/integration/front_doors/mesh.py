"""Conversation over a real MongoDB, gateways over real HTTP, the bus in memory, and a worker that writes what a test says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from bus.api import Delivery, Done, Outcome
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.commands import CancelRun, DecideApproval, ExecuteRun, ProvideInput, RunCommand
from contracts.events import RunEvent, encode_event
from contracts.ids import user_id_of
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.subjects import run_subject
from contracts.topology import EXECUTE
from contracts.usage import Usage
from gateway.adapters.conversation import GrpcConversation
from gateway.adapters.hub import Hub
from gateway.adapters.member_notices import MemberNotices
from gateway.adapters.operations import GrpcOperations
from gateway.adapters.process_bucket import ProcessBucket
from gateway.adapters.run_feeds import Feeds
from gateway.adapters.thread_tools import GrpcThreadTools
from gateway.console_ports import Console
from gateway.domain.attendance import Attendance
from gateway.domain.budgets import MessageBudget, StreamBudget
from gateway.domain.identity import Principal, bearer_token
from gateway.entrypoints.app import build
from gateway.entrypoints.client_doors import open_doors
from gateway.entrypoints.connections import CONNECTION, CUT_SECONDS, Connection
from gateway.entrypoints.server import HttpServer
from gateway.entrypoints.wiring import Doors, Wiring
from starlette.types import Receive, Scope, Send

from tests.integration.conversation.replica import REGISTRY, Service

Script = Callable[[ExecuteRun], list[Any]]
"""What a worker does for a run: events without their head as (kind, fields), seconds to wait, an asyncio.Event or an Answer to wait for."""


class Anybody:
    """Whoever says who he is, is believed, for as long as he says (`bob@1795246647.5`); root is an administrator."""

    async def authenticate(self, authorization: str | None) -> Principal:
        user, _, until = bearer_token(authorization).partition("@")
        role: Literal["admin", "user"] = "admin" if user == "root" else "user"
        return Principal(user_id_of("test", user), role, float(until or 4_000_000_000))


@dataclass
class Gateway:
    """One gateway process's worth of doors, on a port of its own."""

    base: str
    server: HttpServer
    feeds: Feeds
    hub: Hub
    conversation: GrpcConversation
    serving: "asyncio.Task[None]"
    drain: Callable[[], None]
    streams: Any
    tools: GrpcThreadTools
    members: MemberNotices
    operations: GrpcOperations
    connections: list[Connection]
    """Of every request that came."""

    async def kill(self) -> None:
        """Gone in the middle of everything."""
        self.drain()
        self.server.stop()
        await asyncio.gather(self.serving, return_exceptions=True)

    async def close(self) -> None:
        self.drain()
        self.server.stop()
        await asyncio.gather(self.serving, return_exceptions=True)
        await self.feeds.close()
        await self.hub.close()
        await self.conversation.close()
        await self.tools.close()
        await self.members.close()
        await self.operations.close()


async def start_gateway(
    service: Service, broker: Broker, name: str, *, heartbeat: float = 10.0, cut: float = CUT_SECONDS
) -> Gateway:
    bus = MemoryBus(name, broker)
    conversation = GrpcConversation(f"127.0.0.1:{service.port}", deadline=10)
    tools = GrpcThreadTools(f"127.0.0.1:{service.port}", deadline=10)
    operations = GrpcOperations(f"127.0.0.1:{service.port}", deadline=10)
    hub = Hub(bus, ring_bytes=262_144, piece_bytes=65_536)
    feeds = Feeds(bus.run_log, piece_bytes=65_536)

    attendance = Attendance()
    members = MemberNotices(bus, attendance)
    await members.start()

    async def ready() -> tuple[bool, dict[str, bool]]:
        return True, {}

    wiring = Wiring(
        conversation=conversation,
        log=bus.run_log,
        viewers=hub,
        authenticator=Anybody(),
        models=REGISTRY,
        readiness=ready,
        messages=MessageBudget(per_second=1000, burst=1000),
        streams=StreamBudget(per_user=100),
        tools=tools,
        attendance=attendance,
        console=Console(operations=operations, processes=ProcessBucket(bus), levels=bus),
    )
    doors, streams = open_doors(wiring, Doors(threads=conversation, feeds=feeds), heartbeat=heartbeat)
    app, native = build(wiring, version="0", client_doors=doors)
    connections: list[Connection] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        connections.append(scope[CONNECTION])
        await app(scope, receive, send)

    server = HttpServer(noting, "127.0.0.1", 0, grace=1, cut=cut)
    port = server.bind()
    serving = asyncio.create_task(server.serve())
    await server.wait_started()

    def drain() -> None:
        native.drain()
        streams.drain()

    return Gateway(
        f"http://127.0.0.1:{port}",
        server,
        feeds,
        hub,
        conversation,
        serving,
        drain,
        streams,
        tools,
        members,
        operations,
        connections,
    )


@dataclass
class Answer:
    """A step of a script: wait for a person's answer; `command` is what came."""

    wait_id: str
    command: RunCommand | None = None


@dataclass
class Worker:
    """Executes runs as its script says, and stops when told to by a command."""

    bus: MemoryBus
    script: Script
    pace: float = 0.002
    states: dict[str, RunState] = field(default_factory=dict)
    inputs: list[ExecuteRun] = field(default_factory=list)

    async def __call__(self, delivery: Delivery) -> Outcome:
        command = msgspec.json.decode(delivery.data, type=ExecuteRun)
        self.inputs.append(command)
        log = self.bus.run_log
        thread, run = command.thread_id, command.run_id
        claim = await log.claim(
            thread, run, worker="worker", delivery=delivery.reply, after=await log.holder(thread, run)
        )
        state = self.states[run] = RunState(run_id=run, thread_id=thread)

        async def write(kind: type[Any], /, **fields: Any) -> None:
            event: RunEvent = kind(
                thread_id=thread,
                run_id=run,
                sequence=state.sequence + 1,
                attempt=fields.pop("attempt", max(state.attempt, 1)),
                at=command.accepted_at,
                **fields,
            )
            state.apply(event)
            await log.append(claim, event.sequence, encode_event(event))

        await write(e.RunStarted, message_id=command.message_id, model=command.model, path=command.path)
        await write(e.AttemptStarted, worker="worker")
        for step in self.script(command):
            if await log.last(run_subject(thread, run, "command")) is not None:
                entry = await log.last(run_subject(thread, run, "command"))
                assert entry is not None
                told = msgspec.json.decode(entry.data, type=RunCommand)
                if isinstance(told, CancelRun):
                    await write(
                        e.RunCancelled, message_id=command.message_id, by=told.by, usage=state.usage, cost_microusd=None
                    )
                    break
            match step:
                case Answer():
                    step.command = await self._answer(thread, run, step.wait_id)
                case asyncio.Event():
                    await step.wait()
                case float():
                    await asyncio.sleep(step)
                case (kind, fields):
                    await write(kind, **fields)
                    await asyncio.sleep(self.pace)
        if not state.is_terminal:
            await write(
                e.RunCompleted, message_id=command.message_id, usage=state.usage, cost_microusd=state.cost_microusd
            )
        last = await log.last(run_subject(thread, run, "event"))
        assert last is not None
        snapshot = Snapshot(state=state, stream_sequence=last.stream_sequence)
        await log.snapshot(claim, state.sequence, encode_snapshot(snapshot))
        await log.release(claim)
        return Done()

    async def _answer(self, thread: str, run: str, wait_id: str) -> RunCommand:
        while True:
            async for entry in self.bus.run_log.read(run_subject(thread, run, "command")):
                told = msgspec.json.decode(entry.data, type=RunCommand)
                if isinstance(told, DecideApproval | ProvideInput) and told.wait_id == wait_id:
                    return told
            await asyncio.sleep(0.01)

    async def run(self) -> None:
        await self.bus.consume(EXECUTE, self, concurrency=32)


def plain(text: str, *, size: int = 3) -> list[Any]:
    """One model step that says a text in small pieces."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        *((e.TextDelta, {"part": 0, "delta": piece}) for piece in pieces),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "stop"}),
    ]


def usage(step: int) -> tuple[type[Any], dict[str, Any]]:
    """What one model call cost."""
    fields = {"step": step, "of_attempt": 1, "model": "m", "usage": Usage(input_tokens=7, output_tokens=5)}
    return e.UsageReported, fields | {"cost_microusd": 11}
