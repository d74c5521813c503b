"""One replica of conversation as bootstrap assembles it, over gRPC, with the bus in memory and everything tests look at."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

import grpc
from bus.memory import MemoryBus
from contracts.ids import new_id, user_id_of
from contracts.registry import load_registry
from contracts.topology import DUE, RECORD, WAKE
from conversation.adapters.bus_broker import BusBroker
from conversation.adapters.bus_eraser import BusEraser
from conversation.adapters.cron_calendar import CronCalendar
from conversation.adapters.mongo_all_runs import MongoAllRuns
from conversation.adapters.mongo_graves import MongoGraves
from conversation.adapters.mongo_records import MongoRecords
from conversation.adapters.mongo_shares import MongoShares
from conversation.adapters.outgoing import publisher
from conversation.adapters.schema import prepare
from conversation.bootstrap import now
from conversation.domain.acceptance import Timing
from conversation.domain.limits import Limits
from conversation.domain.operations import DeadLetter
from conversation.entrypoints.due_subscriber import DueSubscriber
from conversation.entrypoints.grpc_service import ConversationService
from conversation.entrypoints.operations_service import OperationsService
from conversation.entrypoints.record_subscriber import RecordSubscriber
from conversation.entrypoints.sharing_service import SharingService
from conversation.entrypoints.wake_subscriber import WakeSubscriber
from conversation.lifetime_ports import LifetimeParts
from conversation.operations_ports import OperationsParts
from conversation.ports import Parts
from conversation.sharing_ports import SharingParts
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from rpc.v1 import conversation_pb2 as pb
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub, add_ConversationServiceServicer_to_server
from rpc.v1.operations_pb2_grpc import OperationsServiceStub, add_OperationsServiceServicer_to_server
from rpc.v1.sharing_pb2_grpc import SharingServiceStub, add_SharingServiceServicer_to_server
from runtime.rpc import Server, connect
from store.database import Database
from store.database import connect as connect_database
from store.relay import Relay

if TYPE_CHECKING:
    from rpc.v1.conversation_pb2_grpc import ConversationServiceAsyncStub
    from rpc.v1.operations_pb2_grpc import OperationsServiceAsyncStub
    from rpc.v1.sharing_pb2_grpc import SharingServiceAsyncStub

REGISTRY = load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": "http://127.0.0.1:1/v1"})
ALICE = user_id_of("test", "alice")
BOB = user_id_of("test", "bob")


class Commands(CommandListener):
    """Every command that the driver sent, as (name, collection), and every `find` with its options."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.finds: list[dict[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "find":
            self.finds.append({name: event.command.get(name) for name in ("find", "filter", "sort", "limit")})
        if event.command_name not in ("hello", "ping", "endSessions"):
            self.sent.append((event.command_name, str(event.command.get(event.command_name))))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def writes(self) -> list[tuple[str, str]]:
        """Those that write documents."""
        return [sent for sent in self.sent if sent[0] in ("insert", "update", "delete", "findAndModify", "bulkWrite")]


class Letters:
    """operations_ports.DeadLetters in memory."""

    def __init__(self) -> None:
        self.kept: dict[int, DeadLetter] = {}

    async def newest(self, limit: int) -> list[DeadLetter]:
        return [self.kept[id] for id in sorted(self.kept, reverse=True)[:limit]]

    async def find(self, id: int) -> DeadLetter | None:
        return self.kept.get(id)

    async def retry(self, id: int) -> bool:
        return self.kept.pop(id, None) is not None


@dataclass
class Service:
    """One replica of conversation, assembled as bootstrap does, with everything that tests look at."""

    database: Database
    bus: MemoryBus
    parts: Parts
    relay: Relay
    server: Server
    channel: grpc.aio.Channel
    stub: "ConversationServiceAsyncStub"
    commands: Commands
    port: int
    sharing: "SharingServiceAsyncStub"
    lifetime: LifetimeParts
    operations: "OperationsServiceAsyncStub"
    letters: Letters
    tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    def background(self, work: Awaitable[None]) -> None:
        """Run until the test ends."""
        self.tasks.append(asyncio.ensure_future(work))

    def record(self) -> None:
        """Start consuming snapshots."""
        self.background(self.bus.consume(RECORD, RecordSubscriber(self.parts), concurrency=8))

    def wake(self) -> None:
        """Start consuming commands of runs, and timers."""
        self.background(self.bus.consume(WAKE, WakeSubscriber(self.parts), concurrency=4))
        self.background(self.bus.consume(DUE, DueSubscriber(self.parts), concurrency=4))

    async def rows(self, collection: str) -> list[dict[str, Any]]:
        """Everything in a collection."""
        return await self.database.collection(collection).find().to_list()

    def published(self, stream: str) -> list[tuple[str, bytes]]:
        """Subject and bytes of everything on a stream."""
        return [(s.entry.subject, s.entry.data) for s in self.bus.broker.streams[stream].entries.values()]

    async def thread(self, user: str = ALICE, title: str = "") -> str:
        """A new thread's id."""
        reply = await self.stub.CreateThread(pb.CreateThreadRequest(user_id=user, title=title))
        return reply.thread.id

    async def accept(self, thread: str, content: str = "Hello there", **more: Any) -> pb.AcceptMessageResponse:
        """Send a message as Alice."""
        request = pb.AcceptMessageRequest(user_id=ALICE, thread_id=thread, content=content, **more)
        return await self.stub.AcceptMessage(request)

    async def close(self) -> None:
        self.bus.stop_consuming()
        await self.relay.drain(2)
        await asyncio.gather(*self.tasks)
        await self.channel.close()
        await self.server.stop(0.2)
        await self.database.close()


async def start_replica(
    uri: str, bus: MemoryBus, *, relaying: bool = True, limits: Limits | None = None, application: str = "test"
) -> Service:
    """Start a replica. `relaying` False leaves what it commits to somebody's sweep, as a crash after the commit would.
    `application` is its name, which a successor of it has too."""
    commands = Commands()
    database = await connect_database(uri, application=application, listeners=[commands])
    await prepare(database)
    parts = Parts(
        records=MongoRecords(database),
        broker=BusBroker(bus),
        calendar=CronCalendar(),
        registry=REGISTRY,
        limits=limits or Limits(message_characters=1000),
        timing=Timing(run=timedelta(minutes=30), first_check=timedelta(seconds=60)),
        now=now,
        new_id=new_id,
    )
    relay = Relay(database.outbox, publisher(bus), sweep_seconds=0.1, grace_seconds=0.3)
    if relaying:
        database.committed = relay.hand
    server = Server()
    add_ConversationServiceServicer_to_server(ConversationService(parts), server.grpc)
    sharing = SharingParts(shares=MongoShares(database), now=now, new_id=new_id, new_token=lambda: token_urlsafe(32))
    add_SharingServiceServicer_to_server(SharingService(sharing), server.grpc)
    letters = Letters()
    operations = OperationsParts(runs=MongoAllRuns(database), letters=letters, now=now)
    add_OperationsServiceServicer_to_server(OperationsService(operations), server.grpc)
    lifetime = LifetimeParts(
        graves=MongoGraves(database), eraser=BusEraser(bus), settle=timedelta(0), now=now, new_id=new_id
    )
    port = await server.start("127.0.0.1", 0)
    channel = connect(f"127.0.0.1:{port}")
    return Service(
        database,
        bus,
        parts,
        relay,
        server,
        channel,
        ConversationServiceStub(channel),
        commands,
        port,
        SharingServiceStub(channel),
        lifetime,
        OperationsServiceStub(channel),
        letters,
    )


async def until(done: Callable[[], "Awaitable[bool] | bool"], seconds: float = 10) -> None:
    """Wait for something that happens by itself."""
    async with asyncio.timeout(seconds):
        while True:
            answer = done()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)
