"""`python -m conversation` as a process, over a real NATS server and a real MongoDB, with its own NATS user."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import httpx2
import pytest
from bus.jetstream import JetStreamBus
from bus.jetstream import connect as connect_bus
from contracts.ids import new_id
from contracts.subjects import execute_subject, fact_subject
from contracts.topology import COMMANDS, THREADS
from everthread.ports import free_port
from rpc.v1 import conversation_pb2 as pb
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub
from runtime.rpc import connect

from tests.integration.conversation.replica import ALICE, until
from tests.plain_http import plain_client
from tests.servers import MongoServer, NatsServer


class Process:
    """One conversation process, started again at will on the same ports."""

    def __init__(self, nats: str, mongo: str, log: Path, **more: str) -> None:
        self.grpc_port, self.health_port = free_port(), free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("EVERTHREAD_", "OTEL_"))}
        self._environment = kept | {
            "NATS_URL": nats,
            "MONGODB_URI": mongo,
            "EVERTHREAD_INSTANCE": "conversation-1",
            "EVERTHREAD_GRPC_PORT": str(self.grpc_port),
            "EVERTHREAD_HEALTH_PORT": str(self.health_port),
            "EVERTHREAD_EMBEDDED_MODEL_URL": "http://127.0.0.1:1/v1",
            **more,
        }
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "conversation"], env=self._environment, stdout=log, stderr=log
            )
        return self.process

    async def start(self) -> None:
        self.spawn()
        await until(self.ready, 30)

    async def ready(self) -> bool:
        try:
            async with plain_client() as client:
                reply = await client.get(f"http://127.0.0.1:{self.health_port}/readyz")
        except httpx2.TransportError:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            return False
        return reply.status_code == 200

    async def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 30)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def process(nats: NatsServer, mongo: MongoServer, tmp_path: Path) -> AsyncIterator[Process]:
    uri = mongo.uri.replace("/?", f"/{new_id('dbs')}?")
    with Process(nats.url("conversation"), uri, tmp_path / "conversation.log") as found:
        yield found


@pytest.fixture
async def admin(nats: NatsServer) -> AsyncIterator[JetStreamBus]:
    bus = await connect_bus(nats.url(), instance="test")
    yield bus
    await bus.drain()


async def _stored(admin: JetStreamBus, stream: str, subject: str) -> bool:
    return await admin.last_of(stream, subject) is not None


async def test_a_message_goes_through_and_a_killed_process_leaves_nothing_behind(
    process: Process, admin: JetStreamBus
) -> None:
    await process.start()
    async with connect(f"127.0.0.1:{process.grpc_port}") as channel:
        stub = ConversationServiceStub(channel)
        thread = (await stub.CreateThread(pb.CreateThreadRequest(user_id=ALICE))).thread.id
        runs: list[str] = []
        stop = asyncio.Event()

        async def send() -> None:
            while not stop.is_set():
                try:
                    own = (await stub.CreateThread(pb.CreateThreadRequest(user_id=ALICE))).thread.id
                    request = pb.AcceptMessageRequest(user_id=ALICE, thread_id=own, content="hi")
                    runs.append((await stub.AcceptMessage(request)).run_id)
                except grpc.aio.AioRpcError:
                    await asyncio.sleep(0.05)

        sending = asyncio.create_task(send())
        await until(lambda: len(runs) >= 20)
        assert await process.end(signal.SIGKILL) == -signal.SIGKILL
        before = len(runs)
        await process.start()
        await until(lambda: len(runs) >= before + 5)
        stop.set()
        await sending
        for run in runs:
            subject = execute_subject(run)
            await until(lambda subject=subject: _stored(admin, COMMANDS.name, subject))  # type: ignore[misc]  # default argument binds the loop's value
        deleted = pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread)
        await stub.DeleteThread(deleted)
        await until(lambda: _stored(admin, THREADS.name, fact_subject(thread, "thread.deleted")))
    assert await process.end(signal.SIGTERM) == 0, process.log.read_text()


async def test_a_stop_finishes_the_calls_under_way(process: Process) -> None:
    await process.start()
    async with connect(f"127.0.0.1:{process.grpc_port}") as channel:
        stub = ConversationServiceStub(channel)
        threads = [(await stub.CreateThread(pb.CreateThreadRequest(user_id=ALICE))).thread.id for _ in range(4)]
        calls = [
            asyncio.ensure_future(
                stub.AcceptMessage(pb.AcceptMessageRequest(user_id=ALICE, thread_id=thread, content="hi"))
            )
            for thread in threads
        ]
        await asyncio.sleep(0.02)
        assert await process.end(signal.SIGTERM) == 0, process.log.read_text()
        replies = await asyncio.gather(*calls, return_exceptions=True)
    # Each call was answered, or had not been begun and says so; none was cut off in the middle.
    for reply in replies:
        if isinstance(reply, BaseException):
            assert isinstance(reply, grpc.aio.AioRpcError)
            assert reply.code() is grpc.StatusCode.UNAVAILABLE


async def _refusal(process: Process) -> str:
    assert await asyncio.to_thread(process.spawn().wait, 40) == 1
    log = process.log.read_text()
    assert "Traceback" not in log
    assert "secret" not in log
    (sentence,) = [line for line in log.splitlines() if line.startswith("everthread-conversation")]
    return sentence


async def test_a_database_that_is_not_there_is_one_sentence(nats: NatsServer, tmp_path: Path) -> None:
    nowhere = f"mongodb://somebody:secret@127.0.0.1:{free_port()}/?directConnection=true"
    with Process(nats.url("conversation"), nowhere, tmp_path / "log") as process:
        assert "MONGODB_URI did not answer within 4 s" in await _refusal(process)


async def test_a_database_that_is_no_replica_set_is_refused(nats: NatsServer, tmp_path: Path) -> None:
    port, config = free_port(), tmp_path / "mongo.toml"
    config.touch()
    arguments = ["--config", str(config), "--port", str(port), "--storage-path", str(tmp_path), "--standalone"]
    with (tmp_path / "mongo.log").open("wb") as log:
        alone = subprocess.Popen([sys.executable, "-m", "secantus", *arguments], stdout=log, stderr=log)
    try:
        await until(lambda: _listens(port), 30)
        with Process(nats.url("conversation"), f"mongodb://127.0.0.1:{port}/", tmp_path / "log") as process:
            assert "is no replica set" in await _refusal(process)
    finally:
        alone.kill()
        alone.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
