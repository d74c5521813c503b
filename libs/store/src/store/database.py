"""MongoDB's client, the database, and transactions whose rows reach the broker."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import pymongo
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from store.driver_waits import make_cancellable
from store.errors import NoReplicaSetError, StoreError, StoreUnavailableError
from store.faults import translated
from store.outbox import COLLECTION as OUTBOX
from store.outbox import Outbox, OutboxRow, new_row
from store.sessions import Sessions
from store.tracing import CommandSpans

Document = dict[str, Any]
T = TypeVar("T")

DATABASE: Final = "everthread"
"""The database's name where the URI gives none."""
CONNECT_MILLISECONDS: Final = 3_000
SELECT_MILLISECONDS: Final = 4_000
"""How long an operation waits for a primary: shorter than an election, as the caller has an answer to "not now"."""
CLOSE_SECONDS: Final = 1.0
OPERATION_SECONDS: Final = 5.0
"""Budget of one operation, or of one whole transaction with its retries."""


@dataclass(slots=True)
class Transaction:
    """A transaction under way. Every operation must be given `session`."""

    session: AsyncClientSession
    rows: list[OutboxRow] = field(default_factory=list)

    def emit(self, subject: str, payload: bytes, *, message_id: str, headers: Mapping[str, str] | None = None) -> None:
        """Have this published if, and only if, the transaction commits."""
        self.rows.append(new_row(subject, payload, message_id=message_id, headers=headers))


class Database:
    """One database of a replica set. Make it with `connect`; close it when the process ends."""

    def __init__(self, client: AsyncMongoClient[Document], name: str, instance: str) -> None:
        self._client = client
        self._database = client[name]
        self._collections: dict[str, AsyncCollection[Document]] = {}
        self._sessions = Sessions(self._database, instance)
        self.outbox: Final = Outbox(self._database[OUTBOX])
        self.committed: Callable[[Sequence[OutboxRow]], None] = _ignore
        """Called with the rows of every committed transaction; the relay's `hand`."""

    def collection(self, name: str) -> AsyncCollection[Document]:
        """A collection of the database. Its errors are pymongo's: use it inside `store.faults.translated`."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = self._database[name]
        return found

    async def create_collection(self, name: str) -> None:
        """Create a collection; pymongo's CollectionInvalid or OperationFailure where it exists."""
        # The driver would ask first which there are, once for each: the server says so anyway.
        await self._database.create_collection(name, check_exists=False)

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `body` in a transaction and commit it: snapshot reads, majority writes.

        `body` may run several times (a conflict, a new primary), so it must not touch anything but the session. What it
        raises rolls back. Raises StoreUnavailableError, after which the commit may or may not have happened.
        """
        committed: list[OutboxRow] = []

        async def once(session: AsyncClientSession) -> T:
            transaction = Transaction(session)
            result = await body(transaction)
            if transaction.rows:
                await self.outbox.add(transaction.rows, session)
            committed[:] = transaction.rows
            return result

        with translated(), pymongo.timeout(OPERATION_SECONDS):
            async with self._client.start_session() as session:
                await self._sessions.note(session)
                result = await session.with_transaction(
                    once,
                    read_concern=ReadConcern("snapshot"),
                    write_concern=WriteConcern("majority"),
                    read_preference=ReadPreference.PRIMARY,
                )
        if committed:
            self.committed(committed)
        return result

    async def answers(self) -> bool:
        """MongoDB has a primary that can write now; for a readiness check."""
        try:
            with pymongo.timeout(1.5):
                reply = await self._client.admin.command("hello")
        except PyMongoError:
            return False
        return bool(reply.get("isWritablePrimary"))

    async def close(self) -> None:
        """Close every connection. No transaction may be under way."""
        with suppress(PyMongoError), pymongo.timeout(CLOSE_SECONDS):
            await self._sessions.forget()
        await self._client.close()

    async def end_predecessors(self) -> int:
        """End the transactions that killed processes of the same instance name left open, which lock what they wrote."""
        return await self._sessions.end_predecessors()


async def connect(uri: str, *, application: str, listeners: Sequence[CommandListener] = ()) -> Database:
    """Connect to the replica set at `uri`. Raises NoReplicaSetError, StoreUnavailableError, or StoreError for a wrong URI;
    none of them repeats the URI, which may hold a password."""
    make_cancellable()
    try:
        client: AsyncMongoClient[Document] = AsyncMongoClient(
            uri,
            appname=application,
            w="majority",
            retryWrites=True,
            retryReads=True,
            tz_aware=True,
            connectTimeoutMS=CONNECT_MILLISECONDS,
            serverSelectionTimeoutMS=SELECT_MILLISECONDS,
            timeoutMS=int(OPERATION_SECONDS * 1000),
            event_listeners=[CommandSpans(), *listeners],
        )
    except (InvalidURI, ConfigurationError, ValueError) as error:
        raise StoreError(
            "MONGODB_URI is not usable; it should look like mongodb://user:password@host:27017/everthread?replicaSet=rs0"
        ) from error
    try:
        with translated():
            hello = await client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise NoReplicaSetError(
                "the MongoDB at MONGODB_URI is no replica set, and transactions need one; start it with --replSet and run "
                "rs.initiate() once, even where it is a single server"
            )
        return Database(client, client.get_default_database(DATABASE).name, application)
    except StoreUnavailableError as error:
        await client.close()
        raise StoreUnavailableError(
            f"the MongoDB at MONGODB_URI did not answer within {SELECT_MILLISECONDS // 1000} s; "
            "check that it runs and that the address, user and password are right"
        ) from error
    except PyMongoError as error:
        await client.close()
        raise StoreError(
            f"the MongoDB at MONGODB_URI refused: {type(error).__name__}; check user and password"
        ) from error
    except NoReplicaSetError:
        await client.close()
        raise


def _ignore(rows: Sequence[OutboxRow]) -> None:
    """Until a relay is there, the sweep of another process publishes them."""
