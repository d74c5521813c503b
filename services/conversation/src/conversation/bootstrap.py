"""The only place where conversation's real parts meet its handlers."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

import structlog
from bus.api import Bus
from bus.erasing import Erasing
from bus.errors import BusError
from bus.heartbeats import Heartbeats
from bus.jetstream import JetStreamBus
from bus.jetstream import connect as connect_bus
from contracts.ids import new_id
from contracts.registry import Registry
from contracts.topology import APPEND, DUE, RECORD, WAKE
from rpc.v1.conversation_pb2_grpc import add_ConversationServiceServicer_to_server
from rpc.v1.documents_pb2_grpc import add_DocumentServiceServicer_to_server
from rpc.v1.operations_pb2_grpc import add_OperationsServiceServicer_to_server
from rpc.v1.sharing_pb2_grpc import add_SharingServiceServicer_to_server
from rpc.v1.usage_pb2_grpc import add_UsageServiceServicer_to_server
from runtime.process import Process, StartupError
from runtime.rpc import Server
from runtime.settings import load_models
from store.database import Database
from store.database import connect as connect_database
from store.errors import StoreError
from store.relay import Relay

from conversation.adapters.bus_broker import BusBroker
from conversation.adapters.bus_dead_letters import BusDeadLetters
from conversation.adapters.bus_eraser import BusEraser
from conversation.adapters.cron_calendar import CronCalendar
from conversation.adapters.mongo_all_runs import MongoAllRuns
from conversation.adapters.mongo_graves import MongoGraves
from conversation.adapters.mongo_ledger import MongoLedger
from conversation.adapters.mongo_library import MongoLibrary
from conversation.adapters.mongo_records import MongoRecords
from conversation.adapters.mongo_shares import MongoShares
from conversation.adapters.outgoing import publisher
from conversation.adapters.schema import prepare
from conversation.domain.acceptance import Timing
from conversation.domain.entities import NORMAL, TEMPORARY
from conversation.domain.library import LibraryLimits
from conversation.domain.limits import Limits
from conversation.entrypoints.append_subscriber import AppendSubscriber
from conversation.entrypoints.document_service import DocumentService
from conversation.entrypoints.due_subscriber import DueSubscriber
from conversation.entrypoints.gravedigger import keep_deleting, keep_retiring
from conversation.entrypoints.grpc_service import ConversationService
from conversation.entrypoints.operations_service import OperationsService
from conversation.entrypoints.record_subscriber import RecordSubscriber
from conversation.entrypoints.reviver import keep_reviving
from conversation.entrypoints.sharing_service import SharingService
from conversation.entrypoints.usage_service import UsageService
from conversation.entrypoints.wake_subscriber import WakeSubscriber
from conversation.library_ports import LibraryParts
from conversation.lifetime_ports import LifetimeParts
from conversation.operations_ports import OperationsParts
from conversation.ports import Parts
from conversation.settings import Settings
from conversation.sharing_ports import SharingParts

logger = structlog.get_logger()
APPENDS_AT_ONCE: Final = 16
WAKES_AT_ONCE: Final = 16
GRACE_SECONDS: Final = 10.0
"""For calls, deliveries and outbox rows under way when the process is told to stop."""
TOKEN_BYTES: Final = 32
"""Of randomness in an invitation's token."""


def now() -> datetime:
    """The time in UTC, in whole milliseconds as MongoDB stores it."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def assemble(database: Database, bus: Bus, registry: Registry, settings: Settings) -> Parts:
    """Everything a handler may use, real."""
    return Parts(
        records=MongoRecords(database),
        broker=BusBroker(bus),
        calendar=CronCalendar(),
        registry=registry,
        limits=Limits(message_characters=settings.message_characters),
        timing=Timing(
            run=timedelta(seconds=settings.run_seconds), first_check=timedelta(seconds=settings.revival_seconds)
        ),
        now=now,
        new_id=new_id,
    )


def assemble_sharing(database: Database) -> SharingParts:
    """Everything that sharing may use, real."""
    return SharingParts(
        shares=MongoShares(database), now=now, new_id=new_id, new_token=lambda: secrets.token_urlsafe(TOKEN_BYTES)
    )


def assemble_lifetime(database: Database, bus: Erasing, settings: Settings) -> LifetimeParts:
    """Everything that the end of threads may use, real."""
    days = {NORMAL: settings.retention_normal_days, TEMPORARY: settings.retention_temporary_days}
    return LifetimeParts(
        graves=MongoGraves(database),
        eraser=BusEraser(bus),
        settle=timedelta(seconds=settings.deletion_settle_seconds),
        now=now,
        new_id=new_id,
        kept={kind: timedelta(days=kept) for kind, kept in days.items() if kept},
    )


def main(settings: Settings) -> Callable[[Process], Awaitable[None]]:
    """The life of the service, for runtime.process.run."""
    registry = load_models(settings)

    async def live(process: Process) -> None:
        database = await _open_database(settings, process.instance)
        try:
            bus = await _open_bus(settings, process.instance)
            heartbeats = Heartbeats(bus, "conversation", version=version("everthread-conversation"))
            heartbeats.start()
            try:
                await _serve(process, settings, assemble(database, bus, registry, settings), database, bus)
            finally:
                await heartbeats.close()
                await bus.drain()
        finally:
            await database.close()

    return live


async def _open_database(settings: Settings, instance: str) -> Database:
    try:
        database = await connect_database(settings.mongodb_uri, application=instance)
        await database.end_predecessors()
        await prepare(database)
    except StoreError as error:
        raise StartupError(str(error)) from error
    return database


async def _open_bus(settings: Settings, instance: str) -> JetStreamBus:
    try:
        bus = await connect_bus(settings.nats_url, instance=instance)
        await bus.reconcile(replicas=settings.stream_replicas)
    except BusError as error:
        raise StartupError(str(error)) from error
    return bus


async def _serve(process: Process, settings: Settings, parts: Parts, database: Database, bus: JetStreamBus) -> None:
    relay = Relay(database.outbox, publisher(bus))
    database.committed = relay.hand
    server = Server()
    add_ConversationServiceServicer_to_server(ConversationService(parts), server.grpc)
    library = LibraryParts(
        library=MongoLibrary(database),
        limits=LibraryLimits(document_bytes=settings.document_bytes, documents=settings.documents),
        now=now,
        new_id=new_id,
    )
    add_DocumentServiceServicer_to_server(DocumentService(library), server.grpc)
    add_UsageServiceServicer_to_server(UsageService(MongoLedger(database)), server.grpc)
    add_SharingServiceServicer_to_server(SharingService(assemble_sharing(database)), server.grpc)
    operations = OperationsParts(runs=MongoAllRuns(database), letters=BusDeadLetters(bus.desk), now=now)
    add_OperationsServiceServicer_to_server(OperationsService(operations), server.grpc)
    lifetime = assemble_lifetime(database, bus, settings)
    async with asyncio.TaskGroup() as work:
        consuming = work.create_task(
            bus.consume(RECORD, RecordSubscriber(parts), concurrency=settings.record_concurrency)
        )
        background = [
            work.create_task(bus.consume(WAKE, WakeSubscriber(parts), concurrency=WAKES_AT_ONCE)),
            work.create_task(bus.consume(DUE, DueSubscriber(parts), concurrency=WAKES_AT_ONCE)),
            work.create_task(relay.run()),
            work.create_task(bus.keep_reconciled(replicas=settings.stream_replicas)),
            work.create_task(bus.consume(APPEND, AppendSubscriber(parts, bus), concurrency=APPENDS_AT_ONCE)),
            work.create_task(keep_deleting(lifetime, process.stopping)),
            work.create_task(keep_retiring(lifetime, process.stopping)),
            work.create_task(keep_reviving(parts, settings.revival_seconds / 4, process.stopping)),
        ]
        port = await server.start(settings.host, settings.grpc_port)
        logger.info("grpc.listening", host=settings.host, port=port)
        process.health.check("grpc", lambda: server.serving)
        process.health.check("mongodb", database.answers)
        # Not the broker: without it messages are still accepted, and the outbox keeps what they say.
        await process.stopping.wait()
        bus.stop_consuming()
        await server.stop(GRACE_SECONDS)
        await asyncio.wait([consuming], timeout=GRACE_SECONDS)
        await relay.drain(GRACE_SECONDS)
        for task in (consuming, *background):
            task.cancel()
