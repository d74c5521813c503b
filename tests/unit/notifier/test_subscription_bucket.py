"""What the subscriptions ask of the broker: one question for all who ask at once, none that is older than who asks."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from bus.api import Entry
from bus.memory import Broker, MemoryBus
from contracts.ids import WEBHOOK, new_id
from contracts.subjects import webhook_subject
from contracts.times import rfc3339
from contracts.topology import WEBHOOKS
from contracts.webhooks import Secret, Webhook, decode_webhook, encode
from notifier.adapters.subscription_bucket import SubscriptionBucket

TYPE = "run.completed"


class Slow(MemoryBus):
    """Looks for the newest at once and answers when the test says so."""

    def __init__(self, name: str, broker: Broker) -> None:
        super().__init__(name, broker)
        self.questions: list[asyncio.Event] = []

    async def last_of(self, stream: str, subject_filter: str) -> Entry | None:
        answer = asyncio.Event()
        self.questions.append(answer)
        found = await super().last_of(stream, subject_filter)
        await answer.wait()
        return found


@pytest.fixture
def broker() -> Iterator[Broker]:
    made = Broker()
    yield made
    made.close()


async def test_who_asks_at_once_shares_a_question_and_who_comes_later_asks_anew(broker: Broker) -> None:
    bus = Slow("notifier-1", broker)
    bucket = SubscriptionBucket(bus)
    watching = asyncio.create_task(bucket.watch())
    early = [asyncio.create_task(bucket.wanting(TYPE)) for _ in range(3)]
    while not bus.questions:
        await asyncio.sleep(0)
    hook = Webhook(id=new_id(WEBHOOK), url="https://x.example/", events=[TYPE])
    await bus.compare_and_set(WEBHOOKS.name, webhook_subject(hook.id), encode(hook), expected=0)
    # It is stored before this call, so this call must find it, whatever was asked before.
    late = asyncio.create_task(bucket.wanting(TYPE))
    while len(bus.questions) < 2:
        await asyncio.sleep(0)
    early[0].cancel()
    for answer in bus.questions:
        answer.set()
    assert [found.id for found in await late] == [hook.id]
    await asyncio.gather(*early, return_exceptions=True)
    assert [task.exception() for task in early[1:]] == [None, None]
    assert len(bus.questions) == 2
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_only_what_nobody_changed_meanwhile_is_paused(broker: Broker) -> None:
    bus = MemoryBus("notifier-1", broker)
    bucket = SubscriptionBucket(bus)
    hook = Webhook(id=new_id(WEBHOOK), url="https://x.example/", events=[TYPE], secrets=[Secret(value="whsec_YWJj")])
    subject = webhook_subject(hook.id)
    moved = msgspec.structs.replace(hook, url="https://y.example/")
    for stored, expected in ((hook, 0), (moved, 1)):
        await bus.compare_and_set(WEBHOOKS.name, subject, encode(stored), expected=expected)
    now = datetime(2026, 11, 21, 3, tzinfo=UTC)

    async def kept() -> Webhook:
        last = await bus.last_of(WEBHOOKS.name, subject)
        assert last is not None
        return decode_webhook(last.data)

    assert not await bucket.pause(hook, "gone", now), "the answer came from where it was before"
    assert await kept() == moved
    assert await bucket.pause(moved, "gone", now)
    paused = msgspec.structs.replace(moved, enabled=False, disabled_reason="gone", changed_at=rfc3339(now))
    assert await kept() == paused
    assert not await bucket.pause(moved, "gone", now)
    assert await kept() == paused
