"""What webhooks and pushes are tried against: a receiver on loopback, the gateway's half, facts."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web
from bus.jetstream import JetStreamBus
from contracts.facts import RunEnded, encode_fact
from contracts.ids import FACT, MESSAGE, RUN, THREAD, USER, new_id
from contracts.subjects import fact_subject
from contracts.times import rfc3339
from contracts.webhooks import Webhook
from gateway.adapters.browser_registry import BrowserRegistry
from gateway.adapters.feed_unread import FeedUnread
from gateway.adapters.webhook_registry import DeliveryRegistry, WebhookRegistry
from gateway.handlers.change_webhook import create_webhook
from gateway.notice_ports import Notices

DEVELOPMENT = {
    "EVERTHREAD_RECEIVER_NETWORKS": "127.0.0.0/8",
    "EVERTHREAD_INSECURE_RECEIVERS": "true",
    "EVERTHREAD_WEBHOOK_SECONDS": "0.5",
    # An hour of standard waits, scaled.
    "EVERTHREAD_WEBHOOK_WAITS": "0.1,0.2,0.4,0.8,1.6",
}


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Got], Awaitable[web.Response]]


async def ok(_: Got) -> web.Response:
    """Accepted."""
    return web.Response(status=204)


class Server:
    """Answers by the first part of the path; `ok` where nothing else is said."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.got: dict[str, list[Got]] = {}
        self.base = ""
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start(self) -> None:
        """Listen."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Listen no longer."""
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        got = Got(request.path, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        name = request.path.split("/")[1]
        self.got.setdefault(name, []).append(got)
        return await self.answers.get(name, ok)(got)


def notices(bus: JetStreamBus) -> Notices:
    return Notices(
        feeds=FeedUnread(bus),
        webhooks=WebhookRegistry(bus),
        deliveries=DeliveryRegistry(bus),
        browsers=BrowserRegistry(bus),
        # As if the operator of this gateway had been careless: the notifier looks for itself.
        allowed=lambda _: True,
        insecure=True,
    )


async def subscribe(behind: Notices, url: str, *events: str) -> Webhook:
    return await create_webhook(
        behind,
        url=url,
        events=events or ("run.completed",),
        description="",
        enabled=True,
        by=new_id(USER),
        secret=b"0123456789abcdef0123456789abcdef",
        now=datetime.now(UTC),
    )


def ended() -> RunEnded:
    return RunEnded(
        id=new_id(FACT),
        thread_id=new_id(THREAD),
        user_id=new_id(USER),
        at=rfc3339(datetime.now(UTC)),
        run_id=new_id(RUN),
        message_id=new_id(MESSAGE),
        status="complete",
    )


async def say(bus: JetStreamBus, fact: RunEnded) -> None:
    await bus.publish(fact_subject(fact.thread_id, "run.ended"), encode_fact(fact), message_id=fact.id)


async def until(holds: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)
