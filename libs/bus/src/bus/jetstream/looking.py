"""Streams and consumers as the server describes them, by the JetStream API."""

from typing import Any

from contracts.topology import Consumer, Stream

from bus.jetstream import api_calls
from bus.jetstream.api_calls import ApiError, call_api
from bus.jetstream.direct_get import Reader, stored_at_of
from bus.jetstream.requests import Requests
from bus.looking import ConsumerLevel, StreamLevel


async def stream_level(requests: Requests, stream: Stream) -> StreamLevel | None:
    """See bus.looking.Looking."""
    info = await _info(requests, f"STREAM.INFO.{stream.name}")
    return None if info is None else StreamLevel(messages=info["state"]["messages"], bytes=info["state"]["bytes"])


async def consumer_level(requests: Requests, reader: Reader, consumer: Consumer) -> ConsumerLevel | None:
    """See bus.looking.Looking."""
    info = await _info(requests, f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
    if info is None:
        return None
    pending, oldest_at = int(info["num_pending"]), None
    if pending:
        oldest_at = await _stored_at(reader, consumer, int(info["delivered"]["stream_seq"]))
    return ConsumerLevel(
        pending=pending,
        ack_pending=int(info["num_ack_pending"]),
        redelivered=int(info["num_redelivered"]),
        oldest_at=oldest_at,
    )


async def _stored_at(reader: Reader, consumer: Consumer, after: int) -> float | None:
    message = await reader.following(consumer.stream, consumer.filter, after)
    return None if message is None else stored_at_of(message.headers or {})


async def _info(requests: Requests, call: str) -> Any:
    try:
        return await call_api(requests, call)
    except ApiError as error:
        if error.code in (api_calls.STREAM_NOT_FOUND, api_calls.CONSUMER_NOT_FOUND):
            return None
        raise
