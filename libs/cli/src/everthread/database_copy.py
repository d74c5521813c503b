"""MongoDB out into files and back: every document byte for byte, every index but the one that is always there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from bson import decode_file_iter
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

from everthread.archive import Part, Sink, writing
from everthread.errors import RefusedError
from everthread.external import without_secret

DATABASE: Final = "everthread"
"""The database's name where the address gives none; as in store.database."""
_BATCH_BYTES: Final = 4 * 1024 * 1024
_BATCH_DOCUMENTS: Final = 1000
_RAW: Final = CodecOptions(document_class=RawBSONDocument)
_ALWAYS_THERE: Final = "_id_"

Advance = Callable[[int], None]


@contextmanager
def opened(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """The database at an address. Raises RefusedError for whatever MongoDB says no to."""
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri, serverSelectionTimeoutMS=5000, appname="everthread", w="majority", retryWrites=True
        )
        with client:
            yield client.get_default_database(DATABASE)
    except PyMongoError as error:
        raise RefusedError(f"MongoDB at {without_secret(uri)}: {' '.join(str(error).split())[:200]}") from None


def collections(database: Database[dict[str, Any]]) -> list[str]:
    """The names of those with something of ours."""
    return sorted(name for name in database.list_collection_names() if not name.startswith("system."))


@contextmanager
def as_of_now(database: Database[dict[str, Any]]) -> Iterator[tuple[ClientSession, bool]]:
    """A session in which all reads see one moment, and whether the server can do that."""
    with database.client.start_session(snapshot=True) as session:
        try:
            database["threads"].find_one({}, session=session)
        except OperationFailure:
            with database.client.start_session() as plain:
                yield plain, False
        else:
            yield session, True


def copy_collection(
    database: Database[dict[str, Any]], name: str, session: ClientSession, folder: Path, advance: Advance
) -> Part:
    """One collection into `mongodb/<name>.bson`."""
    count = 0
    file = f"mongodb/{name}.bson"
    with writing(folder, file) as sink:
        for document in _raw(database, name).find({}, session=session, sort=[("_id", 1)]):
            sink.write(bytes(document.raw))
            count += 1
            advance(1)
    return _part(name, file, count, sink, {"indexes": indexes(database, name)})


def _raw(database: Database[dict[str, Any]], name: str) -> Collection[RawBSONDocument]:
    return cast(Collection[RawBSONDocument], database.get_collection(name, codec_options=_RAW))


def _part(name: str, file: str, count: int, sink: Sink, about: dict[str, Any]) -> Part:
    return Part(name=name, file=file, count=count, bytes=sink.bytes, sha256=sink.sha256, about=about)


def indexes(database: Database[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The definitions of a collection's indexes."""
    found = []
    for index in database[name].list_indexes():
        if index["name"] != _ALWAYS_THERE:
            definition = {key: value for key, value in index.items() if key not in ("v", "ns")}
            # An ordered list: JSON readers elsewhere may not keep the order of an object.
            definition["key"] = [[field, direction] for field, direction in index["key"].items()]
            found.append(definition)
    return found


def restore_collection(database: Database[dict[str, Any]], part: Part, folder: Path, advance: Advance) -> None:
    """Put a collection back, into a database that does not have its documents."""
    collection = _raw(database, part.name)
    batch: list[RawBSONDocument] = []
    size = 0

    def put() -> None:
        nonlocal size
        if batch:
            collection.insert_many(batch, ordered=False)
            advance(len(batch))
            batch.clear()
            size = 0

    with (folder / part.file).open("rb") as file:
        for document in decode_file_iter(file, codec_options=_RAW):
            batch.append(document)
            size += len(document.raw)
            if size >= _BATCH_BYTES or len(batch) >= _BATCH_DOCUMENTS:
                put()
    put()
    if part.name not in database.list_collection_names():
        database.create_collection(part.name)
    if part.about["indexes"]:
        wanted = [{**index, "key": dict(index["key"])} for index in part.about["indexes"]]
        database.command("createIndexes", part.name, indexes=wanted)
    count = database[part.name].count_documents({})
    if count != part.count:
        raise RefusedError(f"collection {part.name} has {count} documents after the restore, the backup {part.count}")
