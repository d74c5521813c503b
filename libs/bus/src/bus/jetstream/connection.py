"""The connection to NATS: one per process, reconnecting without end, with the notices that the rest is built on."""

import asyncio
import random
import re
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import structlog
from nats.aio.client import Server
from nats.aio.subscription import Subscription
from nats.errors import AuthorizationError, BadSubscriptionError, Error
from runtime import metrics
from runtime.names import Metric
from ulid import ULID

from bus.errors import BusError, UnavailableError
from bus.jetstream.client import Heard, NatsClient

logger = structlog.get_logger()

PING_INTERVAL: Final = 10
LONGEST_RECONNECT_WAIT: Final = 2.0
CONNECT_BUDGET: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.01
PENDING_WHILE_DISCONNECTED: Final = 4 * 1024 * 1024

_DENIED: Final = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)

Notice = Callable[[], None]


class Connection:
    """A nats-py client with what this project needs of it: notices of a lost and a regained connection."""

    def __init__(self, client: NatsClient, name: str, inbox_prefix: str) -> None:
        self.client = client
        self.name = name
        self.inbox_prefix = inbox_prefix
        self._up = asyncio.Event()
        self._lost: list[Notice] = []
        self._regained: list[Notice] = []
        self._denied: list[Callable[[str], None]] = []
        self._last_error: Exception | None = None
        self._leaving = False
        self._regained_at = float("-inf")

    @property
    def stood_for(self) -> float:
        """Seconds since it was regained; without end where it was never lost."""
        return time.monotonic() - self._regained_at

    @property
    def connected(self) -> bool:
        """The connection stands now."""
        return bool(self.client.is_connected)

    @property
    def closed(self) -> bool:
        """It is closed for good."""
        return bool(self.client.is_closed)

    async def until_connected(self, seconds: float) -> bool:
        """Wait for the connection; whether it stands now. Never returns False at once: callers ask again and again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not (self._up.is_set() and self.connected):
            left = deadline - loop.time()
            if left <= 0:
                return False
            if self._up.is_set():
                # The client knows already that the connection is lost, and its task that tells us of it needs the loop.
                await asyncio.sleep(min(left, LOOK_AGAIN_SECONDS))
                continue
            try:
                await asyncio.wait_for(self._up.wait(), left)
            except TimeoutError:
                return False
        return True

    def when_lost(self, notice: Notice) -> None:
        """Call `notice` each time the connection is lost."""
        self._lost.append(notice)

    def when_regained(self, notice: Notice) -> None:
        """Call `notice` each time it stands again."""
        self._regained.append(notice)

    def when_denied(self, notice: Callable[[str], None]) -> None:
        """Call `notice` with each subject that the server did not let this user publish to."""
        self._denied.append(notice)

    def forget(self, notice: Notice) -> None:
        """No more of these notices."""
        self._lost = [other for other in self._lost if other is not notice]
        self._regained = [other for other in self._regained if other is not notice]

    async def subscribe(self, subject: str, heard: Heard) -> Subscription:
        """Call `heard` for each message, in order and in the reader's turn: it may only put it somewhere. The subscription
        is before anything that this connection sends afterwards."""
        try:
            return await self.client.hear(subject, heard)
        except Error as error:
            raise UnavailableError(f"cannot subscribe to {subject}: {error}") from error

    async def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription; harmless on a closed connection."""
        if self.closed or self.client.is_draining:
            return
        try:
            await subscription.unsubscribe()
        except BadSubscriptionError:
            return
        except Error as error:
            logger.debug("nats.unsubscribe_failed", subject=subscription.subject, error=str(error))

    async def drain_subscription(self, subscription: Subscription) -> None:
        """End a subscription after everything that the server had sent was heard."""
        if not self.connected:
            return
        try:
            await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it unannotated
        except (Error, OSError) as error:
            logger.debug("nats.unsubscribe_failed", subject=subscription.subject, error=str(error))

    async def drain(self) -> None:
        """Let what is in flight finish and close."""
        self._leaving = True
        if self.closed:
            return
        if self.connected and not self.client.is_draining:
            await self.client.drain()
        else:
            await self.client.close()

    async def on_error(self, error: Exception) -> None:
        """nats-py's one place for errors that belong to no call."""
        self._last_error = error
        denied = _DENIED.search(str(error))
        if denied is not None:
            for notify in self._denied:
                notify(denied[1].lower())
        if self.connected:
            logger.warning("nats.error", error=str(error), connection=self.name)

    async def on_lost(self) -> None:
        """The connection is gone; nats-py tries again by itself."""
        self._up.clear()
        metrics.set_to(Metric.NATS_CONNECTED, 0)
        if not self._leaving:
            logger.warning("nats.disconnected", connection=self.name)
        for notice in list(self._lost):
            notice()

    async def on_regained(self) -> None:
        """The connection stands again, subscriptions included."""
        self._regained_at = time.monotonic()
        self._up.set()
        metrics.set_to(Metric.NATS_CONNECTED, 1)
        metrics.add(Metric.NATS_RECONNECTS)
        logger.info("nats.reconnected", connection=self.name, server=self._server())
        for notice in list(self._regained):
            notice()

    async def on_closed(self) -> None:
        """Closed for good: by `drain`, or because the server refuses this client."""
        self._up.clear()
        if not self._leaving:
            logger.error("nats.closed", connection=self.name, error=str(self._last_error))

    async def open(self, servers: list[str], budget: float) -> None:
        """Connect, trying for `budget` seconds. Raises BusError where the server refuses this user, else UnavailableError."""
        options: dict[str, Any] = {
            "servers": servers,
            "name": self.name,
            "inbox_prefix": self.inbox_prefix,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.1,
            "reconnect_to_server_handler": pick_server,
            "ping_interval": PING_INTERVAL,
            "max_outstanding_pings": 2,
            "pending_size": PENDING_WHILE_DISCONNECTED,
            "drain_timeout": 5,
            "error_cb": self.on_error,
            "disconnected_cb": self.on_lost,
            "reconnected_cb": self.on_regained,
            "closed_cb": self.on_closed,
            "allow_reconnect": False,
        }
        loop = asyncio.get_running_loop()
        deadline = loop.time() + budget
        while True:
            try:
                await asyncio.wait_for(self.client.connect(**options), max(0.1, deadline - loop.time()))
                break
            except (OSError, Error, TimeoutError) as error:
                cause = error if str(error) else self._last_error
                where = ", ".join(address_of(server) for server in servers)
                if isinstance(error, AuthorizationError) or "authorization" in str(error).lower():
                    await self._abandon()
                    raise BusError(
                        f"NATS at {where} refuses this user: check the name and password in NATS_URL"
                    ) from error
                if loop.time() >= deadline:
                    await self._abandon()
                    raise UnavailableError(f"NATS at {where} does not answer: {cause}") from error
                await asyncio.sleep(random.uniform(0.05, 0.3))  # noqa: S311  # no secret
        # Only from now on: at the start a wrong password must be an error, not an endless wait.
        self.client.options["allow_reconnect"] = True
        self._up.set()
        metrics.set_to(Metric.NATS_CONNECTED, 1)
        logger.info("nats.connected", connection=self.name, server=self._server())

    async def _abandon(self) -> None:
        self._leaving = True
        await self.client.close()

    def _server(self) -> str:
        url = self.client.connected_url
        return "" if url is None else f"{url.hostname}:{url.port}"


def pick_server(servers: list[Server], _: dict[str, Any]) -> tuple[Server, float]:
    """A server at random, after a wait that grows with the failures and is never the same for two clients."""
    choice = random.choice(servers)  # noqa: S311  # no secret
    longest = min(LONGEST_RECONNECT_WAIT, 0.05 * 2.0 ** min(choice.reconnects, 6))
    return choice, random.uniform(0.01, longest)  # noqa: S311  # no secret


def address_of(url: str) -> str:
    """Host and port of a NATS URL, without its secrets."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 4222}"


def inbox_prefix_of(url: str) -> str:
    """`_INBOX_<user>`, the only inbox that the user's permissions cover; `_INBOX` where the URL names no user."""
    user = urlsplit(url).username
    return "_INBOX" if user is None else f"_INBOX_{unquote(user)}"


def connection_name(instance: str) -> str:
    """A name that no other process, before or after, has."""
    return f"{instance}-{ULID()}"
