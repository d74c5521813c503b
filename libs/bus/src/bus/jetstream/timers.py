"""Timers: message schedules of the server, which fire though every process of ours be gone."""

from datetime import datetime
from typing import Final

from contracts import topology
from contracts.times import rfc3339
from ulid import ULID

from bus.errors import BusError
from bus.jetstream.api_calls import call_api
from bus.jetstream.connection import Connection
from bus.jetstream.requests import Requests
from bus.jetstream.storing import WrongLastSequenceError, store

STREAM: Final = topology.TIMERS.name
KEPT_ONCE_DUE: Final = "168h"
"""How long the stream keeps what has fired. Pending timers have no such limit."""


async def schedule(
    connection: Connection, requests: Requests, timer: str, *, at: datetime, target: str, data: bytes
) -> None:
    """See Bus.schedule. The server keeps one schedule per subject, so the rollup replaces the one before."""
    headers = {
        "Nats-Msg-Id": f"{timer}:{ULID()}",
        "Nats-Schedule": f"@at {rfc3339(at)}",
        "Nats-Schedule-Target": target,
        "Nats-Schedule-TTL": KEPT_ONCE_DUE,
        "Nats-Rollup": "sub",
    }
    try:
        await store(connection, requests, timer, data, headers)
    except WrongLastSequenceError as error:
        raise BusError(f"{timer}: a timer takes no expectations") from error


async def unschedule(requests: Requests, timer: str) -> None:
    """See Bus.unschedule."""
    await call_api(requests, f"STREAM.PURGE.{STREAM}", {"filter": timer})
