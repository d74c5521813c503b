"""`everthread restore FOLDER --thread ID`: one thread out of a backup into the database that is in use.

Its messages and runs come back, and are listed as before. The log of its runs does not: like one that has expired.
"""

from pathlib import Path
from typing import Any, Final

from bson import decode_file_iter
from contracts.ids import THREAD, InvalidIdError, check_id
from pymongo.database import Database

from everthread import archive, database_copy
from everthread.archive import Manifest
from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home
from everthread.reach import Reach, reach

_FIELD: Final = {"messages": "thread_id", "runs": "thread_id", "threads": "_id"}
"""By which field each collection names the thread. The thread itself comes last: until then nobody sees the rest."""
_DELETIONS: Final = "deletions"


def run_restore_thread(
    home: Home, source: Path, thread_id: str, *, nats_url: str | None, mongodb_uri: str | None
) -> int:
    """Put it back and say what came; returns the exit code. Raises RefusedError."""
    try:
        check_id(THREAD, thread_id)
    except InvalidIdError as error:
        raise RefusedError(f"--thread: {error}", EXIT_USAGE) from None
    manifest = archive.read_manifest(source)
    with reach(home, nats_url, mongodb_uri) as found:
        counts = put_thread_back(found, source, manifest, thread_id)
    print(
        f"restored {thread_id}: " + ", ".join(f"{count} {name}" for name, count in counts.items() if name != "threads")
    )
    return 0


def put_thread_back(found: Reach, source: Path, manifest: Manifest, thread_id: str) -> dict[str, int]:
    """How many documents came back, by collection. Raises RefusedError, and then nothing is visible of it."""
    documents = {name: _of_thread(source, manifest, name, thread_id) for name in _FIELD}
    if not documents["threads"]:
        raise RefusedError(f"{source} has no thread {thread_id}; look into an older backup")
    with database_copy.opened(found.mongodb_uri) as database:
        _check_gone(database, thread_id)
        for name, kept in documents.items():
            if kept:
                # What an earlier try left stands in nobody's list, and is written anew.
                database[name].delete_many({_FIELD[name]: thread_id})
                database[name].insert_many(kept)
    return {name: len(kept) for name, kept in documents.items()}


def _of_thread(source: Path, manifest: Manifest, collection: str, thread_id: str) -> list[dict[str, Any]]:
    part = next((part for part in manifest.collections if part.name == collection), None)
    if part is None:
        return []
    archive.check_whole(source, part)
    with (source / part.file).open("rb") as file:
        return [document for document in decode_file_iter(file) if document.get(_FIELD[collection]) == thread_id]


def _check_gone(database: Database[dict[str, Any]], thread_id: str) -> None:
    if database["threads"].find_one({"_id": thread_id}) is not None:
        raise RefusedError(f"{thread_id} is there; delete it first, or leave it as it is")
    if database[_DELETIONS].find_one({"_id": thread_id}) is not None:
        raise RefusedError(
            f"the deletion of {thread_id} is still under way and would take it away again; try again in a few minutes"
        )
