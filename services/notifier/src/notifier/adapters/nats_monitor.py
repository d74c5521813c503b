"""The broker's own figures, from the monitor pages of its servers (`/varz`, `/jsz`), into this process's metrics.

Here and not in an exporter of its own: one process less, the names in our catalogue, and the notifier already looks after the
broker's dead letters. Several notifiers tell the same figures; dashboards take the maximum.
"""

import asyncio
import urllib.request
from typing import Final

import msgspec
import structlog
from contracts import topology
from runtime import metrics
from runtime.names import Metric

logger = structlog.get_logger()

EVERY_SECONDS: Final = 5.0
TIMEOUT_SECONDS: Final = 3.0
MAX_BYTES: Final = 16 * 1024 * 1024
_STREAMS: Final = frozenset(stream.name for stream in topology.STREAMS)
_CONSUMERS: Final = frozenset(consumer.name for consumer in topology.CONSUMERS)
_JETSTREAM: Final = "/jsz?accounts=true&streams=true&consumers=true&config=true"


class _Server(msgspec.Struct):
    server_name: str
    connections: int = 0
    slow_consumers: int = 0


class _Replica(msgspec.Struct):
    name: str
    lag: int = 0


class _Cluster(msgspec.Struct):
    leader: str = ""
    replicas: list[_Replica] = []


class _Config(msgspec.Struct):
    max_bytes: int = -1


class _State(msgspec.Struct):
    messages: int = 0
    bytes: int = 0


class _Consumer(msgspec.Struct):
    name: str
    num_pending: int = 0
    num_ack_pending: int = 0
    num_redelivered: int = 0
    cluster: _Cluster | None = None


class _Stream(msgspec.Struct):
    name: str
    config: _Config
    state: _State
    cluster: _Cluster | None = None
    consumer_detail: list[_Consumer] = []


class _Account(msgspec.Struct):
    stream_detail: list[_Stream] = []


class _JetStream(msgspec.Struct):
    account_details: list[_Account] = []


_server = msgspec.json.Decoder(_Server)
_jetstream = msgspec.json.Decoder(_JetStream)


class NatsMonitor:
    """Reads the pages at `urls` (base addresses, one per server) and keeps the gauges up to date."""

    def __init__(self, urls: list[str]) -> None:
        self._urls = [url.rstrip("/") for url in urls]
        self._answered: dict[str, bool] = {}

    async def watch(self) -> None:
        """Read every five seconds until cancelled. A server that does not answer is a figure, not a fault of ours."""
        while True:
            await asyncio.gather(*(self._look_at(number, url) for number, url in enumerate(self._urls, 1)))
            await asyncio.sleep(EVERY_SECONDS)

    async def _look_at(self, number: int, url: str) -> None:
        # By number, as a server that does not answer tells no name, and an address may hold a password.
        try:
            pages = await asyncio.gather(*(asyncio.to_thread(_get, url + path) for path in ("/varz", _JETSTREAM)))
            show(_server.decode(pages[0]), _jetstream.decode(pages[1]))
        except (OSError, ValueError) as error:
            up = False
            if self._answered.get(url, True):
                logger.warning("nats.monitor_unreachable", server=number, error=f"{type(error).__name__}: {error}")
        else:
            up = True
        self._answered[url] = up
        metrics.set_to(Metric.MONITOR_UP, float(up), server=str(number))


def show(server: _Server, jetstream: _JetStream) -> None:
    """One server's figures. Of a cluster's streams each is told by its leader only, since followers lag."""
    name = server.server_name
    metrics.set_to(Metric.NATS_CONNECTIONS, server.connections, server=name)
    metrics.set_to(Metric.SLOW_CONSUMERS, server.slow_consumers, server=name)
    for account in jetstream.account_details:
        for stream in account.stream_detail:
            if stream.name in _STREAMS and _leads(name, stream.cluster):
                _show_stream(stream)
            for consumer in stream.consumer_detail:
                if (consumer.name in _CONSUMERS or stream.name == topology.WEBHOOK_WORK.name) and _leads(
                    name, consumer.cluster or stream.cluster
                ):
                    _show_consumer(stream.name, consumer)


def _leads(name: str, cluster: _Cluster | None) -> bool:
    return cluster is None or cluster.leader in ("", name)


def _show_stream(stream: _Stream) -> None:
    metrics.set_to(Metric.STREAM_MESSAGES, stream.state.messages, stream=stream.name)
    metrics.set_to(Metric.STREAM_BYTES, stream.state.bytes, stream=stream.name)
    metrics.set_to(Metric.STREAM_LIMIT, stream.config.max_bytes, stream=stream.name)
    for replica in stream.cluster.replicas if stream.cluster is not None else ():
        metrics.set_to(Metric.STREAM_REPLICA_LAG, replica.lag, stream=stream.name, replica=replica.name)


def _show_consumer(stream: str, consumer: _Consumer) -> None:
    labels = {"stream": stream, "consumer": consumer.name}
    metrics.set_to(Metric.CONSUMER_PENDING, consumer.num_pending, **labels)
    metrics.set_to(Metric.CONSUMER_ACK_PENDING, consumer.num_ack_pending, **labels)
    metrics.set_to(Metric.CONSUMER_REDELIVERED, consumer.num_redelivered, **labels)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - http or https, by the setting
        body: bytes = response.read(MAX_BYTES)
        return body
