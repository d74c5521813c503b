"""Make the server's streams and consumers match the topology. Safe when several services do it at once."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final

import structlog
from contracts import topology
from contracts.subjects import LIVE
from contracts.topology import Consumer, Stream

from bus.errors import BusError, ServerTooOldError, UnavailableError
from bus.jetstream import api_calls
from bus.jetstream.api_calls import ApiError, call_api
from bus.jetstream.connection import Connection
from bus.jetstream.requests import DeniedError, Requests

logger = structlog.get_logger()

NANOSECOND: Final = 1_000_000_000
BUDGET: Final = 30.0
RACE_CODES: Final = frozenset(
    {
        api_calls.STREAM_EXISTS_DIFFERENTLY,
        api_calls.CONSUMER_EXISTS,
        api_calls.STREAM_NOT_FOUND,
        api_calls.CONSUMER_NOT_FOUND,
    }
)


def check_server(connection: Connection) -> None:
    """Raises ServerTooOldError, unless the server is at least topology.MINIMUM_SERVER."""
    version = connection.client.connected_server_version
    check_version((version.major, version.minor, version.patch))


def check_version(found: tuple[int, int, int]) -> None:
    """The same for a version."""
    if found < topology.MINIMUM_SERVER:
        raise ServerTooOldError(
            f"nats-server {_dotted(found)} is too old: the run log needs {_dotted(topology.MINIMUM_SERVER)} or newer; "
            "upgrade it, or unset NATS_URL to use the embedded one"
        )


async def reconcile(
    connection: Connection,
    requests: Requests,
    *,
    streams: Sequence[Stream] = topology.STREAMS,
    consumers: Sequence[Consumer] = topology.CONSUMERS,
    replicas: int = 1,
) -> None:
    """Create or update. Idempotent. Raises ServerTooOldError, UnavailableError, BusError."""
    check_server(connection)
    for stream in streams:
        await _until_settled(_put_stream, requests, stream, replicas)
    for consumer in consumers:
        await _until_settled(_put_consumer, requests, consumer, replicas)
    logger.info("topology.reconciled", streams=len(streams), consumers=len(consumers), replicas=replicas)


async def _until_settled(put: Any, requests: Requests, item: Stream | Consumer, replicas: int) -> None:
    """Another service may create or change the same thing between our look and our write; then look again."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + BUDGET
    while True:
        try:
            await put(requests, item, replicas)
        except ApiError as error:
            if error.code not in RACE_CODES or loop.time() > deadline:
                raise BusError(f"cannot set up {item.name}: {error}") from error
        except DeniedError as error:
            # A user without the right waits for one that has it.
            if loop.time() > deadline:
                raise BusError(
                    f"{item.name} is missing or different on the server, and this user may not change it: "
                    "let conversation or admin reconcile first"
                ) from error
        except UnavailableError:
            # JetStream answers a moment after the port does, and a cluster only once it has a leader.
            if loop.time() > deadline:
                raise
        else:
            return
        await asyncio.sleep(random.uniform(0.05, 0.5))  # noqa: S311  # no secret


async def _put_stream(requests: Requests, stream: Stream, replicas: int) -> None:
    wanted = stream_config(stream, replicas)
    try:
        info = await call_api(requests, f"STREAM.INFO.{stream.name}")
    except ApiError as error:
        if error.code != api_calls.STREAM_NOT_FOUND:
            raise
        await call_api(requests, f"STREAM.CREATE.{stream.name}", wanted, timeout=10)
        return
    if _differs(wanted, info["config"]):
        await call_api(requests, f"STREAM.UPDATE.{stream.name}", {**info["config"], **wanted}, timeout=10)
        logger.info("stream.updated", stream=stream.name)


async def _put_consumer(requests: Requests, consumer: Consumer, replicas: int) -> None:
    wanted = consumer_config(consumer, replicas)
    path = f"{consumer.stream}.{consumer.name}"
    try:
        info = await call_api(requests, f"CONSUMER.INFO.{path}")
    except ApiError as error:
        if error.code != api_calls.CONSUMER_NOT_FOUND:
            raise
        action = "create"
    else:
        if not _differs(wanted, info["config"]):
            return
        action = "update"
    body = {"stream_name": consumer.stream, "config": wanted, "action": action}
    await call_api(requests, f"CONSUMER.CREATE.{path}", body, timeout=10)
    if action == "update":
        logger.info("consumer.updated", consumer=consumer.name)


def stream_config(stream: Stream, replicas: int) -> dict[str, Any]:
    """The server's JSON of a stream. Durations in nanoseconds."""
    config: dict[str, Any] = {
        "name": stream.name,
        "description": stream.why,
        "subjects": list(stream.subjects),
        "retention": stream.retention,
        "discard": stream.discard,
        "storage": stream.storage,
        "num_replicas": replicas,
        "max_age": int(stream.max_age * NANOSECOND),
        "max_bytes": stream.max_bytes,
        "max_msgs_per_subject": stream.max_msgs_per_subject,
        "duplicate_window": int(stream.duplicate_window * NANOSECOND),
        "allow_direct": True,
        "allow_rollup_hdrs": stream.allow_rollup,
        "allow_msg_ttl": stream.allow_msg_ttl,
        "allow_msg_schedules": stream.allow_msg_schedules,
        "allow_atomic": stream.allow_atomic,
    }
    if stream.republish:
        config["republish"] = {"src": ">", "dest": f"{LIVE}>"}
    return config


def consumer_config(consumer: Consumer, replicas: int) -> dict[str, Any]:
    """The server's JSON of a durable pull consumer. Durations in nanoseconds."""
    config: dict[str, Any] = {
        "durable_name": consumer.name,
        "name": consumer.name,
        "description": consumer.why,
        "filter_subject": consumer.filter,
        "ack_policy": "explicit",
        "deliver_policy": "all",
        "replay_policy": "instant",
        "ack_wait": int(consumer.ack_wait * NANOSECOND),
        "max_deliver": consumer.max_deliver,
        "max_ack_pending": consumer.max_ack_pending,
        "num_replicas": replicas,
    }
    if consumer.inactive_seconds:
        config["inactive_threshold"] = int(consumer.inactive_seconds * NANOSECOND)
    if consumer.backoff:
        config["backoff"] = [int(seconds * NANOSECOND) for seconds in consumer.backoff]
        config["ack_wait"] = config["backoff"][0]
    return config


def _differs(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    """The server leaves out what is false; so absent equals false here."""
    return any((found.get(name) or False) != (value or False) for name, value in wanted.items())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)
