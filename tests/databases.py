"""Databases for tests that want an empty one each: to create one with all its indexes takes a tenth of a second, to empty it
hardly anything."""

from types import TracebackType
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from ulid import ULID

from tests.servers import MongoServer


class Databases:
    """Empty databases on one server, the indexes of their last use still there. Use as a context manager."""

    def __init__(self, server: MongoServer) -> None:
        self._server = server
        self._client: MongoClient[dict[str, Any]] = MongoClient(server.uri)
        self._free: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def take(self) -> str:
        """The name of one that is nobody else's now."""
        return self._free.pop() if self._free else f"test_{ULID()}"

    def uri(self, name: str) -> str:
        return self._server.uri.replace("/?", f"/{name}?")

    def give_back(self, name: str) -> None:
        """Empty it for the next test. One that cannot be emptied is left as it is, and used no more."""
        database = self._client[name]
        try:
            for collection in database.list_collection_names():
                database[collection].delete_many({})
        except PyMongoError:
            return
        self._free.append(name)
