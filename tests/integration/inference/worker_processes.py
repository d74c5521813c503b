"""Two real workers over a real nats-server, a scripted upstream, and a conversation service written by hand over gRPC."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import URLError

import grpc
import msgspec
from bus.jetstream import JetStreamBus
from contracts import events as e
from contracts.commands import CancelRun, ExecuteRun
from contracts.ids import new_id
from contracts.run_state import RunState, decode_snapshot
from contracts.subjects import execute_subject, run_subject
from contracts.times import rfc3339
from everthread.ports import free_port
from rpc.v1 import conversation_pb2 as pb

from tests.servers import NatsServer
from tests.upstream import UpstreamProcess

ROOT = Path(__file__).resolve().parents[3]
MODELS = """
[providers.openai]
base_url_env = "OPENAI_BASE_URL"
api_key_env = "OPENAI_API_KEY"

[models."openai:prefix"]
input = 1.0
output = 2.0
continuation = "prefix"

[models."openai:retract"]
input = 1.0
output = 2.0
continuation = "retract"

[models."openai:large"]
context_window = 128000
input = 1.0
output = 2.0
continuation = "retract"
tools = true
"""


class Conversation:
    """Answers GetRunInput for the runs it was told of, on one port, as long as it is started."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.contents: dict[str, str] = {}
        self._server: grpc.aio.Server | None = None

    async def get_run_input(
        self, request: pb.GetRunInputRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.GetRunInputResponse:
        if request.run_id not in self.contents:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such run")
        message = pb.InputMessage(role="user", content=self.contents[request.run_id])
        return pb.GetRunInputResponse(model="openai:prefix", messages=[message])

    async def start(self) -> None:
        self._server = grpc.aio.server()
        method = grpc.unary_unary_rpc_method_handler(
            self.get_run_input,
            request_deserializer=pb.GetRunInputRequest.FromString,
            response_serializer=pb.GetRunInputResponse.SerializeToString,
        )
        service = grpc.method_handlers_generic_handler("everthread.v1.ConversationService", {"GetRunInput": method})
        self._server.add_generic_rpc_handlers((service,))
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None


@dataclass
class WorkerProcess:
    """`python -m inference` as a child process."""

    instance: str
    environment: dict[str, str]
    log: Path
    health_port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.health_port = free_port()
        environment = self.environment | {
            "EVERTHREAD_INSTANCE": self.instance,
            "EVERTHREAD_HEALTH_PORT": str(self.health_port),
            "EVERTHREAD_GRPC_PORT": str(free_port()),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "inference"], env=environment, stdout=log, stderr=log, cwd=ROOT
            )

    @property
    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while not self.is_ready:
            assert time.monotonic() < deadline, f"{self.instance} is not ready:\n{self.text()}"
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, 30)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(10)

    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")


@dataclass
class Pair:
    """Two workers and what they talk to."""

    nats: NatsServer
    upstream: UpstreamProcess
    conversation_port: int
    workers: list[WorkerProcess] = field(default_factory=list)

    def wait_ready(self) -> None:
        """Start again who has left; wait for both."""
        for worker in self.workers:
            if worker.process is None or worker.process.poll() is not None:
                worker.start()
        for worker in self.workers:
            worker.wait_ready()


def new_pair(home: Path, nats: NatsServer, upstream: UpstreamProcess) -> Pair:
    """Not started yet."""
    models = home / "models.toml"
    models.write_text(MODELS, "utf-8")
    pair = Pair(nats, upstream, free_port())
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("EVERTHREAD_", "OPENAI_", "NATS_", "OTEL_"))}
    environment = inherited | {
        "NATS_URL": nats.url("inference"),
        "OPENAI_BASE_URL": upstream.base_url,
        "OPENAI_API_KEY": "sk-canary-0123456789",
        "EVERTHREAD_MODELS_FILE": str(models),
        "EVERTHREAD_CONVERSATION_ADDRESS": f"127.0.0.1:{pair.conversation_port}",
        "EVERTHREAD_DRAIN_SECONDS": "6",
    }
    pair.workers = [
        WorkerProcess(f"inference-{number}", environment, home / f"inference-{number}.log") for number in (1, 2)
    ]
    return pair


@dataclass
class Run:
    """One run, seen from outside."""

    bus: JetStreamBus
    pair: Pair
    command: ExecuteRun

    async def publish(self, copy: int = 0) -> None:
        subject = execute_subject(self.command.run_id)
        await self.bus.publish(subject, msgspec.json.encode(self.command), message_id=f"{self.command.run_id}:{copy}")

    async def cancel(self) -> None:
        data = msgspec.json.encode(CancelRun(by=self.command.user_id, at=self.command.accepted_at))
        run_id = self.command.run_id
        await self.bus.run_log.append_command(self.command.thread_id, run_id, data, message_id=f"{run_id}:cancel")

    def _subject(self, kind: str) -> str:
        return run_subject(self.command.thread_id, self.command.run_id, kind)

    async def events(self) -> list[e.RunEvent]:
        return [e.decode_event(entry.data) async for entry in self.bus.run_log.read(self._subject("event"))]

    async def state(self) -> RunState:
        """The fold of the whole log; raises GapError unless it is gapless."""
        state = RunState(run_id=self.command.run_id, thread_id=self.command.thread_id)
        for event in await self.events():
            state.apply(event)
        return state

    async def until_text(self, characters: int, *, attempt: int = 1, within: float = 30) -> RunState:
        async with asyncio.timeout(within):
            while (state := await self.state()).attempt < attempt or len(state.content) < characters:
                assert not state.is_terminal, state
                await asyncio.sleep(0.05)
        return state

    async def holder(self) -> WorkerProcess:
        holder = await self.bus.run_log.holder(self.command.thread_id, self.command.run_id)
        assert holder is not None
        return next(worker for worker in self.pair.workers if holder.worker.startswith(worker.instance))

    async def ended(self, within: float = 40) -> RunState:
        """The terminal state, once every command for the run is settled; its snapshot says the same."""
        async with asyncio.timeout(within):
            while await self.bus.last_of("COMMANDS", execute_subject(self.command.run_id)) is not None:
                await asyncio.sleep(0.05)
        state, events = await self.state(), await self.events()
        assert [isinstance(event, e.Terminal) for event in events] == [False] * (len(events) - 1) + [True]
        entry = await self.bus.run_log.last(self._subject("snapshot"))
        assert entry is not None
        assert decode_snapshot(entry.data).state == state
        return state


def command_for(model: str) -> ExecuteRun:
    """A new run."""
    now = datetime.now(UTC)
    return ExecuteRun(
        run_id=new_id("run"),
        thread_id=new_id("thr"),
        message_id=new_id("msg"),
        user_id="usr_01JABCDEFGHJKMNPQRSTVWXYZ0",
        model=model,
        path="durable_event",
        accepted_at=rfc3339(now),
        deadline_at=rfc3339(now + timedelta(minutes=5)),
    )
