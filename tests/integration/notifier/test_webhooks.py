"""Webhooks from the fact to the receiver, with a notifier process and bad company: nobody harms anybody else."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from aiohttp import web
from bus.jetstream import JetStreamBus
from contracts.codes import Code
from contracts.facts import RunEnded
from contracts.ids import FACT, new_id
from contracts.webhooks import Webhook, WebhookResult
from gateway.domain.problems import Refusal
from gateway.handlers.change_webhook import change_webhook, delete_webhook, rotate_secret
from gateway.handlers.replay_deliveries import replay_deliveries
from gateway.handlers.replay_delivery import replay_delivery
from gateway.notice_ports import Notices
from notifier.adapters.bus_deliveries import LENT, BusDeliveries
from notifier.domain.webhook_events import work_of
from notifier.handlers.queue_webhooks import NO_ROOM
from standardwebhooks import Webhook as Verifier

from tests.integration.notifier.conftest import Notifier
from tests.integration.notifier.world import DEVELOPMENT, Got, Server, ended, notices, say, subscribe, until

EVENTS = 12


async def results(behind: Notices, webhook: Webhook, status: str, count: int) -> list[WebhookResult]:
    async with asyncio.timeout(30):
        while True:
            found, cursor = list[WebhookResult](), ""
            while True:
                page = await behind.deliveries.page(webhook.id, status=status, cursor=cursor, limit=5)
                found += page.items
                cursor = page.next_cursor
                if not cursor:
                    break
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)


async def test_bad_receivers_harm_nobody_else(bus: JetStreamBus, notifiers: list[Notifier], server: Server) -> None:
    notifier = notifiers[0]
    notifier.environment = DEVELOPMENT
    tries: Counter[str] = Counter()

    async def slow(_: Got) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async def elsewhere(_: Got) -> web.Response:
        raise web.HTTPFound(f"{server.base}/stolen")

    async def failing(got: Got) -> web.Response:
        tries[got.headers["webhook-id"]] += 1
        return web.Response(status=500 if tries[got.headers["webhook-id"]] <= 3 else 200, body=b"x" * 1_000_000)

    server.answers = {"slow": slow, "elsewhere": elsewhere, "failing": failing}
    behind = notices(bus)
    names = ("good", "slow", "elsewhere", "failing")
    hooks = {name: await subscribe(behind, f"{server.base}/{name}") for name in names}
    hooks["inside"] = await subscribe(behind, "http://169.254.169.254/latest/meta-data")
    hooks["other"] = await subscribe(behind, f"{server.base}/other", "run.failed")
    await notifier.start()
    facts = [ended() for _ in range(EVENTS)]
    for fact in facts:
        await say(bus, fact)
    ids = {fact.id for fact in facts}
    # The good one has all while the slow one has not answered once.
    await until(lambda: {got.headers["webhook-id"] for got in server.got.get("good", [])} == ids)
    for got in server.got["good"]:
        Verifier(hooks["good"].secrets[0].value).verify(got.body, got.headers)
        assert set(msgspec.json.decode(got.body)) == {"type", "timestamp", "data"}
    # The address inside is refused at once: dead, nothing was sent, and the sentence says why.
    dead = await results(behind, hooks["inside"], "dead", EVENTS)
    assert {result.attempts for result in dead} == {1}
    assert "not a public address" in dead[0].error
    # "500 for an hour", by the scaled clock: tried again and again, delivered when it is mended.
    delivered = await results(behind, hooks["failing"], "delivered", EVENTS)
    assert {result.event_id for result in delivered} == ids
    assert {result.attempts for result in delivered} == {4}
    # The slow and the redirecting one are given up after all waits; a redirect is not followed.
    for name in ("slow", "elsewhere"):
        dead = await results(behind, hooks[name], "dead", EVENTS)
        assert {result.attempts for result in dead} <= set(range(1, 7)), name
        assert {got.headers["webhook-id"] for got in server.got[name]} == ids
    assert "stolen" not in server.got
    assert "other" not in server.got

    # Mended, a dead one is sent again under the same id; what is not dead, or not there, is refused.
    server.answers.clear()
    await change_webhook(
        behind,
        hooks["inside"].id,
        url=f"{server.base}/mended",
        events=None,
        description=None,
        enabled=None,
        now=datetime.now(UTC),
    )
    replayed = facts[0].id
    assert (await replay_delivery(behind, hooks["inside"].id, replayed)).status == "pending"
    assert [r.event_id for r in await results(behind, hooks["inside"], "delivered", 1)] == [replayed]
    assert [got.headers["webhook-id"] for got in server.got["mended"]] == [replayed]
    for webhook, event, code in (
        (hooks["inside"], replayed, Code.DELIVERY_NOT_DEAD),
        (hooks["good"], replayed, Code.DELIVERY_NOT_DEAD),
        (hooks["good"], new_id(FACT), Code.DELIVERY_NOT_FOUND),
    ):
        with pytest.raises(Refusal) as refused:
            await replay_delivery(behind, webhook.id, event)
        assert refused.value.code is code

    # Disabled, it is told nothing; rotated, both secrets sign; deleted, it is told nothing more.
    await change_webhook(
        behind, hooks["good"].id, url=None, events=None, description=None, enabled=False, now=datetime.now(UTC)
    )
    rotated = await rotate_secret(
        behind, hooks["failing"].id, overlap=timedelta(hours=1), secret=b"f" * 32, now=datetime.now(UTC)
    )
    await delete_webhook(behind, hooks["slow"].id, now=datetime.now(UTC))
    late = ended()
    await say(bus, late)
    await until(lambda: late.id in {got.headers["webhook-id"] for got in server.got["failing"]})
    got = server.got["failing"][-1]
    for secret in rotated.secrets:
        Verifier(secret.value).verify(got.body, got.headers)
    assert len(rotated.secrets) == 2
    assert late.id not in {got.headers["webhook-id"] for got in server.got["good"] + server.got["slow"]}
    assert await notifier.stop() == 0, notifier.log()


async def test_a_receiver_that_is_down_takes_nothing_from_another(
    bus: JetStreamBus, notifiers: list[Notifier], server: Server
) -> None:
    share, flood = 5, 140
    notifier = notifiers[0]
    # The first wait is longer than the test: all that was tried once still waits.
    notifier.environment = DEVELOPMENT | {"EVERTHREAD_WEBHOOK_SHARE": str(share), "EVERTHREAD_WEBHOOK_WAITS": "600"}

    async def broken(_: Got) -> web.Response:
        return web.Response(status=503)

    server.answers = {"down": broken}
    behind = notices(bus)
    down, good = [await subscribe(behind, f"{server.base}/{name}") for name in ("down", "good")]
    await notifier.start()
    said: set[str] = set()

    async def say_more(count: int) -> None:
        for _ in range(count):
            fact = ended()
            said.add(fact.id)
            await say(bus, fact)
        await until(lambda: {got.headers["webhook-id"] for got in server.got.get("good", [])} == said)

    # The one that is down gets its share and all that is lent; the other keeps up with its own, and misses nothing.
    while len(said) < flood:
        await say_more(share - 1)
    dead = await results(behind, down, "dead", 1)
    waiting = await behind.webhooks.waiting(down.id)
    assert LENT * share - share <= waiting <= LENT * share + share, waiting
    async with asyncio.timeout(30):
        while len(dead) + await behind.webhooks.waiting(down.id) < len(said):
            dead = await results(behind, down, "dead", len(dead))
    # Each event of the one that is down waits for it, or is dead with its body and says why: none is lost.
    kept = [result for status in ("retrying", "pending") for result in await results(behind, down, status, 0)]
    assert {result.event_id for result in (*dead, *kept)} == said
    assert {(result.attempts, result.error) for result in dead} == {(0, NO_ROOM)}
    assert await results(behind, good, "dead", 0) == []

    # It answers again: what was dead is sent again, under its id, as far as it takes nothing from others.
    server.answers.clear()
    replayed = dead[0].event_id
    assert (await replay_delivery(behind, down.id, replayed)).status == "pending"
    assert [result.event_id for result in await results(behind, down, "delivered", 1)] == [replayed]
    all_of_it: dict[str, Any] = {"since": None, "event_type": None, "cursor": "", "limit": 1000}
    full = await replay_deliveries(replace(behind, share=share), down.id, **all_of_it)
    assert (full.queued, full.full) == (0, True)
    both_asked = asyncio.Event()

    async def held(_: Got) -> web.Response:
        # One that is delivered between the two calls would be counted by the second as well, and not sent.
        await both_asked.wait()
        return web.Response()

    server.answers = {"down": held}
    again = [await replay_deliveries(behind, down.id, **all_of_it) for _ in range(2)]
    assert [(found.queued, found.next_cursor) for found in again] == [(len(dead) - 1, ""), (0, "")]
    both_asked.set()
    delivered = await results(behind, down, "delivered", len(dead))
    assert {result.event_id for result in delivered} == {result.event_id for result in dead}
    assert await results(behind, down, "dead", 0) == []
    assert await notifier.stop() == 0, notifier.log()


async def test_a_receiver_that_is_gone_for_good_is_left_alone_until_somebody_enables_it(
    bus: JetStreamBus, notifiers: list[Notifier], server: Server
) -> None:
    async def gone(_: Got) -> web.Response:
        return web.Response(status=410)

    server.answers = {"gone": gone}
    behind = notices(bus)
    hook = await subscribe(behind, f"{server.base}/gone")
    await subscribe(behind, f"{server.base}/good")
    for notifier in notifiers:
        notifier.environment = DEVELOPMENT
        await notifier.start()
    facts = [ended() for _ in range(EVENTS)]
    for fact in facts:
        await say(bus, fact)
    ids = {fact.id for fact in facts}
    await until(lambda: {got.headers["webhook-id"] for got in server.got.get("good", [])} == ids)
    dead = await results(behind, hook, "dead", 1)
    async with asyncio.timeout(30):
        while (paused := (await behind.webhooks.get(hook.id))[0]) is not None and paused.enabled:
            await asyncio.sleep(0.02)
    assert paused is not None
    assert paused.disabled_reason.startswith("The receiver answered 410, gone for good, at 20")
    assert (paused.url, paused.events, paused.secrets) == (hook.url, hook.events, hook.secrets)

    # It is told, with the reason, to whoever sends again, and by a notifier that was killed meanwhile nothing is sent.
    all_of_it: dict[str, Any] = {"since": None, "event_type": None, "cursor": "", "limit": 1000}
    for again in (replay_deliveries(behind, hook.id, **all_of_it), replay_delivery(behind, hook.id, dead[0].event_id)):
        with pytest.raises(Refusal, match="enable it first") as refused:
            await again
        assert refused.value.code is Code.WEBHOOK_INVALID
        assert str(refused.value).endswith(paused.disabled_reason)
    notifiers[0].kill()
    await notifiers[0].start()
    sent = len(server.got["gone"])
    later = ended()
    await say(bus, later)
    await until(lambda: later.id in {got.headers["webhook-id"] for got in server.got["good"]})
    assert len(server.got["gone"]) == sent

    # Enabled again, nothing of what was queued is lost: what is dead is sent again, what waited comes by itself.
    dead, pending = [await results(behind, hook, status, 0) for status in ("dead", "pending")]
    queued = {result.event_id for result in (*dead, *pending)}
    assert queued <= ids
    server.answers.clear()
    change: dict[str, Any] = {"url": None, "events": None, "description": None, "now": datetime.now(UTC)}
    assert (await change_webhook(behind, hook.id, enabled=True, **change)).disabled_reason == ""
    assert (await replay_deliveries(behind, hook.id, **all_of_it)).queued == len(dead)
    assert {result.event_id for result in await results(behind, hook, "delivered", len(queued))} == queued
    assert ((await behind.webhooks.get(hook.id))[0] or hook).enabled
    for notifier in notifiers:
        assert await notifier.stop() == 0, notifier.log()


async def test_of_each_webhook_the_last_results_are_kept(bus: JetStreamBus) -> None:
    deliveries = BusDeliveries(bus, share=10, webhooks=2)
    behind = notices(bus)
    busy, quiet = [await subscribe(behind, "http://127.0.0.1:1/") for _ in range(2)]
    facts = [ended() for _ in range(60)]

    async def settle(webhook: Webhook, fact: RunEnded) -> None:
        work = work_of(fact, webhook.id)
        result = WebhookResult(
            webhook_id=webhook.id, event_id=fact.id, type=work.type, at=work.at, status="dead", work=work
        )
        await deliveries.record(result, expected=0)

    await settle(quiet, facts[0])
    for fact in facts:
        await settle(busy, fact)
    assert [result.event_id for result in await results(behind, busy, "dead", 1)] == [fact.id for fact in facts[-20:]]
    assert [result.event_id for result in await results(behind, quiet, "dead", 1)] == [facts[0].id]
