"""The only place where adapters meet handlers, and the life of the process."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import structlog
from bus.heartbeats import Heartbeats
from bus.jetstream import JetStreamBus, connect
from contracts import topology
from contracts.topology import Consumer
from egress.addresses import public_or_within
from egress.post import PostRules
from runtime.process import ConfigurationError, Process

from notifier.adapters.bus_deliveries import BusDeliveries
from notifier.adapters.bus_threads import BusThreads
from notifier.adapters.device_bucket import DeviceBucket
from notifier.adapters.jetstream_feeds import JetStreamFeeds
from notifier.adapters.nats_monitor import NatsMonitor
from notifier.adapters.subscription_bucket import SubscriptionBucket
from notifier.adapters.webhook_sender import WebhookSender
from notifier.entrypoints.facts import facts_subscriber, push_subscriber, webhook_facts_subscriber
from notifier.entrypoints.receivers import Receivers, work_subscriber
from notifier.ports import PushService
from notifier.settings import NotifierSettings

logger = structlog.get_logger()

DEAD_LETTERS_AT_ONCE: Final = 4
PUSHES_AT_ONCE: Final = 32


async def serve(process: Process, settings: NotifierSettings) -> None:
    """Turn facts into feed entries, webhooks and pushes, and move dead letters, until the process is told to stop; then finish
    what is begun."""
    rules = post_rules(settings)
    bus = await connect(settings.nats_url, instance=process.instance)
    heartbeats = Heartbeats(bus, "notifier", version=version("everthread-notifier"))
    try:
        await bus.reconcile(replicas=settings.stream_replicas)
        threads, devices = BusThreads(bus), DeviceBucket(bus)
        feeds = JetStreamFeeds(bus, now=lambda: datetime.now(UTC))
        subscriptions, deliveries = SubscriptionBucket(bus), BusDeliveries(bus, share=settings.webhook_share)
        work = work_subscriber(subscriptions, deliveries, WebhookSender(rules), settings.waits)
        receivers = Receivers(bus, work, _creator(bus, settings.stream_replicas), settings.webhook_concurrency)
        subscriptions.changed = receivers.notice
        push = await push_service(settings, rules, devices)
        process.health.check("nats", lambda: bus.connected)
        async with asyncio.TaskGroup() as group:
            group.create_task(
                bus.consume(topology.FEED, facts_subscriber(feeds, threads), concurrency=settings.facts_at_once),
                name="feeds",
            )
            group.create_task(
                bus.consume(
                    topology.TELL,
                    webhook_facts_subscriber(subscriptions, deliveries),
                    concurrency=settings.facts_at_once,
                ),
                name="webhooks",
            )
            group.create_task(
                bus.consume(topology.PUSH, push_subscriber(threads, devices, push), concurrency=PUSHES_AT_ONCE),
                name="push",
            )
            group.create_task(
                bus.consume(topology.DEAD, bus.move_dead_letter, concurrency=DEAD_LETTERS_AT_ONCE), name="dead letters"
            )
            group.create_task(
                receivers.run(lambda: list(subscriptions.webhooks.values()), process.stopping), name="receivers"
            )
            watching = [group.create_task(subscriptions.watch(), name="subscriptions")]
            monitors = [url for url in (settings.nats_monitor_url or "").split(",") if url]
            if monitors:
                watching.append(group.create_task(NatsMonitor(monitors).watch(), name="nats monitor"))
            heartbeats.start()
            logger.info("notifier.started", push=push is not None)
            await process.stopping.wait()
            bus.stop_consuming()
            for task in watching:
                task.cancel()
    finally:
        await heartbeats.close()
        await bus.drain()


def post_rules(settings: NotifierSettings) -> PostRules:
    """Where requests may go, and how long they may take. Raises ConfigurationError."""
    try:
        allowed = public_or_within(settings.receiver_networks)
    except ValueError as error:
        raise ConfigurationError(f"EVERTHREAD_RECEIVER_NETWORKS: {error}") from error
    return PostRules(allowed=allowed, insecure=settings.insecure_receivers, seconds=settings.webhook_seconds)


async def push_service(settings: NotifierSettings, rules: PostRules, devices: DeviceBucket) -> PushService | None:
    """The browsers' push services, where there is a key for them. Raises ConfigurationError."""
    if settings.vapid_key_file is None:
        return None
    # Only here, since it brings a second HTTP client along.
    from notifier.adapters.web_push import KeyUnusableError, WebPushService

    try:
        service = WebPushService(settings.vapid_key_file, settings.vapid_subject, rules)
    except KeyUnusableError as error:
        raise ConfigurationError(str(error)) from error
    await devices.tell_key(service.public_key)
    return service


def _creator(bus: JetStreamBus, replicas: int) -> Callable[[Consumer], Awaitable[None]]:
    async def create(consumer: Consumer) -> None:
        await bus.reconcile(streams=(), consumers=(consumer,), replicas=replicas)

    return create
