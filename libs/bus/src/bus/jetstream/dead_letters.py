"""Dead letters: what a subscriber refuses for good, and what was delivered too often."""

import json
from base64 import b64decode
from typing import Any

import structlog
from contracts.subjects import dead_letter_subject
from contracts.topology import Consumer
from runtime import metrics
from runtime.names import Metric

from bus.api import Delivery, Done, Outcome, Poison
from bus.errors import UnavailableError
from bus.jetstream import api_calls
from bus.jetstream.api_calls import ApiError, call_api
from bus.jetstream.connection import Connection
from bus.jetstream.direct_get import Reader
from bus.jetstream.requests import Requests
from bus.jetstream.storing import store
from bus.letters import dead_letter_headers, dead_letter_id

logger = structlog.get_logger()

# What the broker wrote for the first stream must not steer the second one.
_BROKER_HEADERS = "nats-"


class DeadLetters:
    """Writes to DEAD_LETTERS; as the subscriber of topology.DEAD, moves there what the server gave up on."""

    def __init__(self, connection: Connection, requests: Requests, reader: Reader) -> None:
        self._connection = connection
        self._requests = requests
        self._reader = reader

    async def bury(self, consumer: Consumer, delivery: Delivery, reason: str) -> None:
        """Store the delivery with the reason, once per item and consumer. Raises as Bus.publish."""
        await self._store(
            stream=consumer.stream,
            consumer=consumer.name,
            subject=delivery.subject,
            stream_sequence=delivery.stream_sequence,
            delivered=delivery.delivered,
            reason=reason,
            headers=dict(delivery.headers),
            data=delivery.data,
        )

    async def move(self, advisory: Delivery) -> Outcome:
        """Subscriber of the max-deliveries advisories: copy the item, then delete it from its work queue."""
        try:
            notice = json.loads(advisory.data)
            stream, consumer = str(notice["stream"]), str(notice["consumer"])
            sequence, delivered = int(notice["stream_seq"]), int(notice["deliveries"])
        except (ValueError, KeyError) as error:
            return Poison(f"not an advisory: {error}")
        try:
            item = await self._reader.newest(stream, {"seq": sequence})
        except ApiError as error:
            if error.code != api_calls.STREAM_NOT_FOUND:
                raise
            item = None
        if item is None:
            return Done()
        await self._store(
            stream=stream,
            consumer=consumer,
            subject=str(item["subject"]),
            stream_sequence=sequence,
            delivered=delivered,
            reason=f"delivered {delivered} times without success",
            headers=_headers_of(item),
            data=b64decode(item.get("data", "")),
        )
        if await self._is_work_queue(stream):
            await self._delete(stream, sequence)
        logger.error("delivery.exhausted", consumer=consumer, stream_sequence=sequence, delivered=delivered)
        return Done()

    async def _store(
        self,
        *,
        stream: str,
        consumer: str,
        subject: str,
        stream_sequence: int,
        delivered: int,
        reason: str,
        headers: dict[str, str],
        data: bytes,
    ) -> None:
        kept = {name: value for name, value in headers.items() if not name.lower().startswith(_BROKER_HEADERS)}
        about = dead_letter_headers(
            reason=reason,
            stream=stream,
            consumer=consumer,
            subject=subject,
            stream_sequence=stream_sequence,
            delivered=delivered,
        )
        message_id = dead_letter_id(stream, consumer, stream_sequence)
        await store(
            self._connection,
            self._requests,
            dead_letter_subject(stream, consumer),
            data,
            {**kept, **about, "Nats-Msg-Id": message_id},
        )
        metrics.add(Metric.DEAD_LETTERS, consumer=consumer)

    async def _is_work_queue(self, stream: str) -> bool:
        info = await call_api(self._requests, f"STREAM.INFO.{stream}")
        return bool(info["config"]["retention"] == "workqueue")

    async def _delete(self, stream: str, sequence: int) -> None:
        try:
            await call_api(self._requests, f"STREAM.MSG.DELETE.{stream}", {"seq": sequence, "no_erase": True})
        except ApiError as error:
            if error.code not in (api_calls.MESSAGE_NOT_FOUND, api_calls.NO_MESSAGE_AT_SEQUENCE):
                raise UnavailableError(str(error)) from error


def _headers_of(item: dict[str, Any]) -> dict[str, str]:
    lines = b64decode(item.get("hdrs", "")).decode(errors="replace").split("\r\n")[1:]
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
