"""The only place where adapters meet handlers, and the life of the process."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import structlog
from bus.jetstream import connect
from contracts import topology
from runtime.process import Process

from notifier.adapters.jetstream_feeds import JetStreamFeeds
from notifier.adapters.nats_monitor import NatsMonitor
from notifier.entrypoints.facts import facts_subscriber
from notifier.settings import NotifierSettings

logger = structlog.get_logger()

DEAD_LETTERS_AT_ONCE: Final = 4


async def serve(process: Process, settings: NotifierSettings) -> None:
    """Turn facts into feed entries, and move dead letters, until the process is told to stop; then finish what is begun."""
    bus = await connect(settings.nats_url, instance=process.instance)
    try:
        await bus.reconcile(replicas=settings.stream_replicas)
        feeds = JetStreamFeeds(bus, now=lambda: datetime.now(UTC))
        process.health.check("nats", lambda: bus.connected)
        async with asyncio.TaskGroup() as work:
            work.create_task(
                bus.consume(topology.FEED, facts_subscriber(feeds), concurrency=settings.facts_at_once), name="facts"
            )
            work.create_task(
                bus.consume(topology.DEAD, bus.move_dead_letter, concurrency=DEAD_LETTERS_AT_ONCE), name="dead letters"
            )
            monitors = [url for url in (settings.nats_monitor_url or "").split(",") if url]
            watching = work.create_task(NatsMonitor(monitors).watch(), name="nats monitor") if monitors else None
            logger.info("notifier.started")
            await process.stopping.wait()
            bus.stop_consuming()
            if watching is not None:
                watching.cancel()
    finally:
        await bus.drain()
