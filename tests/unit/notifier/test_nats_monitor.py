"""The broker's figures: from a real nats-server's monitor page, and from pages of a cluster."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from bus.jetstream import connect
from everthread import embedded
from everthread.ports import free_port
from notifier.adapters.nats_monitor import NatsMonitor, _jetstream, _server, show
from runtime import metrics


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A server of its own: `(client address, monitor address)`."""
    port, monitor = free_port(), free_port()

    def config(port: int, data: Path) -> str:
        return embedded.plain_nats_config(port, data) + f"http: 127.0.0.1:{monitor}\n"

    server = embedded.start_nats(tmp_path, port=port, config=config)
    yield server.url, f"http://127.0.0.1:{monitor}"
    server.stop()


async def _until(line: str) -> None:
    async with asyncio.timeout(20):
        while line not in metrics.exposition().decode().splitlines():
            await asyncio.sleep(0.05)


async def test_streams_and_consumers_of_a_real_server(broker: tuple[str, str]) -> None:
    url, monitor = broker
    bus = await connect(url, instance="test")
    watching = asyncio.create_task(NatsMonitor([monitor]).watch())
    try:
        await bus.reconcile()
        await bus.publish("dead.COMMANDS.inference-execute", b"{}", message_id="1")
        await _until('everthread_stream_messages{stream="DEAD_LETTERS"} 1.0')
        await _until('everthread_nats_monitor_up{server="1"} 1.0')
        shown = metrics.exposition().decode()
        assert 'everthread_consumer_pending{consumer="inference-execute",stream="COMMANDS"} 0.0' in shown
        assert 'everthread_stream_limit_bytes{stream="RUNS"}' in shown
        assert 'everthread_nats_connections{server="everthread"} 1.0' in shown
    finally:
        watching.cancel()
        await bus.drain()


async def test_a_server_that_does_not_answer_is_shown_as_down() -> None:
    watching = asyncio.create_task(NatsMonitor([f"http://127.0.0.1:{free_port()}"]).watch())
    try:
        await _until('everthread_nats_monitor_up{server="1"} 0.0')
    finally:
        watching.cancel()


def test_of_a_cluster_each_stream_is_told_by_its_leader() -> None:
    def page(messages: int) -> bytes:
        stream = {
            "name": "RUNS",
            "config": {"max_bytes": 1000},
            "state": {"messages": messages, "bytes": 10},
            "cluster": {"leader": "a", "replicas": [{"name": "b", "lag": 7, "current": False}]},
        }
        other = {**stream, "name": "SOMEBODY_ELSES"}
        return json.dumps({"account_details": [{"stream_detail": [stream, other]}]}).encode()

    for name, messages in (("a", 5), ("b", 3)):
        about = msgspec.json.encode({"server_name": name, "slow_consumers": 2})
        show(_server.decode(about), _jetstream.decode(page(messages)))
    shown = metrics.exposition().decode()
    assert 'everthread_stream_messages{stream="RUNS"} 5.0' in shown
    assert 'everthread_stream_replica_lag{replica="b",stream="RUNS"} 7.0' in shown
    assert 'everthread_nats_slow_consumers{server="b"} 2.0' in shown
    assert "SOMEBODY_ELSES" not in shown
