"""Collections and indexes, each with its reason. An index costs a write per document, so there are few."""

from datetime import timedelta
from typing import Final

from pymongo import IndexModel
from pymongo.errors import CollectionInvalid, OperationFailure
from store.database import Database
from store.faults import translated
from store.outbox import COLLECTION as OUTBOX

USERS: Final = "users"
THREADS: Final = "threads"
MESSAGES: Final = "messages"
RUNS: Final = "runs"
LEDGER: Final = "ledger"
KEYS: Final = "idempotency_keys"
SHADOWS: Final = "shadows"
INVITATIONS: Final = "invitations"
INVITATION_TRACES: Final = "invitation_traces"
DELETIONS: Final = "deletions"
SCHEDULES: Final = "schedules"
DOCUMENTS: Final = "documents"
DOCUMENT_CONTENTS: Final = "document_contents"

OF_A_THREAD: Final = (MESSAGES, RUNS, INVITATIONS, INVITATION_TRACES, KEYS, SCHEDULES)
"""Collections whose documents go with their `thread_id`'s thread. The ledger stays: what was spent was spent."""

KEY_LIFE: Final = timedelta(hours=24)
"""How long an idempotency key is remembered."""
SHADOW_LIFE: Final = timedelta(days=30)
"""How long the figures of a shadow run are kept."""
_NAMESPACE_EXISTS: Final = 48
_INDEX_NOT_FOUND: Final = 27

_LISTED: Final = [("archived", 1), ("pinned", -1), ("updated_at", -1), ("_id", -1)]

INDEXES: Final = {
    USERS: [],
    THREADS: [
        # The list: archived ones apart, pinned ones first, then the one updated last.
        IndexModel([("user_id", 1), *_LISTED], name="owned"),
        # The same for those who were invited. Only threads with members are in it, so the others cost no write. (Of `$exists` the
        # embedded server does not see that a query implies it.)
        IndexModel(
            [("members.user_id", 1), *_LISTED], name="joined", partialFilterExpression={"members.user_id": {"$gt": ""}}
        ),
    ],
    MESSAGES: [
        # The order of a thread; unique, so that two acceptances at once cannot take the same place.
        IndexModel([("thread_id", 1), ("position", 1)], name="order", unique=True),
    ],
    RUNS: [
        # Deleting a thread.
        IndexModel([("thread_id", 1)], name="thread"),
        # Open runs that nobody has heard of; a run that has ended has no check_at and is not in it.
        IndexModel([("check_at", 1)], name="unheard", sparse=True),
    ],
    LEDGER: [
        # What a user spent since some day.
        IndexModel([("user_id", 1), ("booked_at", 1)], name="spending"),
    ],
    KEYS: [
        IndexModel([("created_at", 1)], name="expiry", expireAfterSeconds=int(KEY_LIFE.total_seconds())),
    ],
    DOCUMENTS: [
        # The list of a corpus, newest first.
        IndexModel([("corpus", 1), ("_id", -1)], name="corpus"),
    ],
    DOCUMENT_CONTENTS: [],
    INVITATIONS: [
        # Accepting one.
        IndexModel([("token_hash", 1)], name="token", unique=True),
        # Listing them, and deleting the thread.
        IndexModel([("thread_id", 1)], name="thread"),
        # What nobody can accept any more goes by itself.
        IndexModel([("expires_at", 1)], name="expiry", expireAfterSeconds=0),
    ],
    INVITATION_TRACES: [
        # Why a link lets nobody in.
        IndexModel([("token_hash", 1)], name="token", unique=True),
        # Deleting the thread.
        IndexModel([("thread_id", 1)], name="thread"),
        IndexModel([("forget_at", 1)], name="expiry", expireAfterSeconds=0),
    ],
    SCHEDULES: [
        # Listing them, and deleting the thread.
        IndexModel([("thread_id", 1)], name="thread"),
        # Those whose timer was lost.
        IndexModel([("next_at", 1)], name="overdue"),
    ],
    DELETIONS: [
        # Those that are to be carried on.
        IndexModel([("next_at", 1)], name="due"),
    ],
    SHADOWS: [
        # Those whose log is to go; of one whose log has gone there is no clear_at.
        IndexModel([("clear_at", 1)], name="clear", sparse=True),
        IndexModel([("created_at", 1)], name="expiry", expireAfterSeconds=int(SHADOW_LIFE.total_seconds())),
    ],
    OUTBOX: [],
}

RETIRED: Final = {THREADS: ("list", "shared")}
"""Indexes of earlier versions, dropped once those that serve instead are there."""


async def prepare(database: Database) -> None:
    """Create what is missing; idempotent, and harmless when several replicas start at once. Raises StoreUnavailableError."""
    with translated():
        for name, indexes in INDEXES.items():
            try:
                await database.create_collection(name)
            except CollectionInvalid:
                pass
            except OperationFailure as error:
                if error.code != _NAMESPACE_EXISTS:
                    raise
            if indexes:
                await database.collection(name).create_indexes(indexes)
        for name, indexes_of_old in RETIRED.items():
            for index in indexes_of_old:
                try:
                    await database.collection(name).drop_index(index)
                except OperationFailure as error:
                    if error.code != _INDEX_NOT_FOUND:
                        raise
