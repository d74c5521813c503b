"""A connection tells who is served on it that its client has left."""

import asyncio

from gateway.entrypoints.connections import Connection


def test_who_is_served_is_told_once_and_who_comes_too_late_at_once() -> None:
    connection = Connection(asyncio.Transport())
    told: list[str] = []
    connection.when_lost(lambda: told.append("first"))
    connection.when_lost(None)
    connection.when_lost(lambda: told.append("second"))
    assert told == []
    connection.lost()
    assert told == ["second"]
    connection.when_lost(None)
    connection.when_lost(lambda: told.append("third"))
    assert told == ["second", "third"]
