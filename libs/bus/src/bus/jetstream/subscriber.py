"""Hand deliveries of a durable pull consumer to a subscriber, with beats while it works."""

import asyncio
import json
import random
from typing import Final

import structlog
from contracts.topology import Consumer

from bus.api import Delivery, Subscriber
from bus.errors import BusError
from bus.handling import handle, retry_delay, shortest_lease
from bus.jetstream.client import Message
from bus.jetstream.connection import Connection
from bus.jetstream.dead_letters import DeadLetters
from bus.jetstream.requests import NoAnswerError, Requests

logger = structlog.get_logger()

PULL_EXPIRES: Final = 2.0
PULL_GRACE: Final = 0.5
LARGEST_PULL: Final = 256
ACK_TIMEOUT: Final = 2.0


class Subscription:
    """One running `consume`. `run` returns after `stop`, when nothing is in hand any more."""

    def __init__(
        self,
        connection: Connection,
        requests: Requests,
        dead_letters: DeadLetters,
        consumer: Consumer,
        subscriber: Subscriber,
        concurrency: int,
    ) -> None:
        self._connection = connection
        self._requests = requests
        self._dead_letters = dead_letters
        self._consumer = consumer
        self._subscriber = subscriber
        self._concurrency = concurrency
        self._inbox = connection.client.new_inbox()
        self._in_hand: dict[asyncio.Task[None], Delivery] = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._naks: set[asyncio.Task[None]] = set()
        self._wanted = 0
        self._pull_ends = 0.0
        self._wake = asyncio.Event()
        self._pause = 0.0
        self._stopping = False

    async def run(self) -> None:
        """Pull until stopped; cancelled, it drops what is in hand, unsettled."""
        subscription = await self._connection.subscribe(self._inbox, self._heard)
        self._connection.when_lost(self._pull_again)
        self._connection.when_regained(self._pull_again)
        beats = asyncio.create_task(self._beat())
        try:
            await self._pull_until_stopped()
            # Ends the request that may still be open at the server; what it had sent before is given back in _heard.
            await self._connection.drain_subscription(subscription)
            if self._in_hand:
                await asyncio.wait(set(self._in_hand))
        finally:
            self._connection.forget(self._pull_again)
            await self._connection.unsubscribe(subscription)
            beats.cancel()
            tasks = list(self._in_hand)
            for task in tasks:
                task.cancel()
            await asyncio.gather(beats, *tasks, return_exceptions=True)
            if not self.ended.done():
                self.ended.set_result(None)

    def stop(self) -> None:
        """Pull nothing new."""
        self._stopping = True
        self._wake.set()

    async def _pull_until_stopped(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._stopping:
            free = min(LARGEST_PULL, self._concurrency - len(self._in_hand))
            if not await self._connection.until_connected(PULL_EXPIRES):
                if self._connection.closed:
                    raise BusError(f"{self._consumer.name}: the connection to NATS is closed")
            elif self._wanted > 0:
                await self._woken(self._pull_ends - loop.time())
                if loop.time() >= self._pull_ends:
                    self._wanted = 0
            elif free <= 0:
                await self._woken(None)
            elif self._pause:
                await asyncio.sleep(random.uniform(0.05, self._pause))  # noqa: S311  # no secret
                self._pause = 0.0
            else:
                await self._pull(free)

    async def _pull(self, free: int) -> None:
        query = {"batch": free, "expires": int(PULL_EXPIRES * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._consumer.stream}.{self._consumer.name}"
        self._wanted = free
        self._pull_ends = asyncio.get_running_loop().time() + PULL_EXPIRES + PULL_GRACE
        try:
            await self._requests.send(subject, json.dumps(query).encode(), reply=self._inbox)
        except NoAnswerError:
            self._wanted = 0
            self._pause = 0.2

    async def _woken(self, seconds: float | None) -> None:
        """Until a request ends, a place is free, the connection changes, or the time is over."""
        self._wake.clear()
        try:
            await asyncio.wait_for(self._wake.wait(), None if seconds is None else max(0.0, seconds))
        except TimeoutError:
            return

    def _pull_again(self) -> None:
        self._wanted = 0
        self._wake.set()

    def _heard(self, message: Message) -> None:
        status = (message.headers or {}).get("Status")
        if status is not None and not message.data:
            self._ended(status, (message.headers or {}).get("Description", ""))
            return
        delivery = delivery_of(message)
        if delivery is None:
            return
        if self._stopping or len(self._in_hand) >= self._concurrency:
            self._start_nak(delivery.reply)
            return
        task = asyncio.create_task(self._handle(delivery))
        self._in_hand[task] = delivery
        task.add_done_callback(self._handled)
        self._wanted -= 1
        if self._wanted <= 0:
            self._wake.set()

    def _ended(self, status: str, description: str) -> None:
        """404 and 408 end a request without news; 409 (leader change, shutdown) and 503 (no leader yet) want a moment."""
        if status not in ("404", "408"):
            self._pause = 0.5
            logger.info("consumer.pull_ended", consumer=self._consumer.name, status=status, reason=description)
        self._wanted = 0
        self._wake.set()

    def _handled(self, task: asyncio.Task[None]) -> None:
        self._in_hand.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("delivery.unsettled", consumer=self._consumer.name, exc_info=error)
        self._wake.set()

    def _start_nak(self, reply: str) -> None:
        task = asyncio.create_task(self.nak(reply, 0.0))
        self._naks.add(task)
        task.add_done_callback(self._naks.discard)

    async def _handle(self, delivery: Delivery) -> None:
        await handle(delivery, self._subscriber, self._consumer, self)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(shortest_lease(self._consumer) / 3)
            for reply in [reply for delivery in self._in_hand.values() for reply in delivery.replies]:
                try:
                    await self._requests.send(reply, b"+WPI")
                except NoAnswerError:
                    break

    async def ack(self, reply: str) -> None:
        """With the server's confirmation; without one the item comes again, which subscribers must bear anyway."""
        for _ in range(2):
            try:
                await self._requests.ask(reply, b"+ACK", timeout=ACK_TIMEOUT)
            except NoAnswerError:
                await self._connection.until_connected(ACK_TIMEOUT)
            else:
                return
        logger.warning("delivery.ack_unconfirmed", consumer=self._consumer.name)

    async def nak(self, reply: str, delay: float) -> None:
        """Redeliver after `delay` seconds."""
        await send_nak(self._requests, reply, delay)

    async def bury(self, delivery: Delivery, reason: str) -> None:
        """Copy to the dead letters, then terminate; if it cannot be copied, it is not terminated."""
        try:
            await self._dead_letters.bury(self._consumer, delivery, reason)
        except BusError as error:
            logger.error("dead_letter.failed", consumer=self._consumer.name, error=str(error))
            await self.nak(delivery.reply, retry_delay(self._consumer, delivery.delivered))
            return
        try:
            await self._requests.ask(delivery.reply, b"+TERM", timeout=ACK_TIMEOUT)
        except NoAnswerError as error:
            logger.warning("delivery.term_unconfirmed", consumer=self._consumer.name, error=str(error))


async def send_nak(requests: Requests, reply: str, delay: float) -> None:
    """Give a delivery back. Where there is no connection, ack_wait does the same later."""
    payload = b"-NAK " + json.dumps({"delay": int(delay * 1e9)}).encode() if delay > 0 else b"-NAK"
    try:
        await requests.send(reply, payload)
    except NoAnswerError as error:
        logger.warning("delivery.nak_failed", error=str(error))


def delivery_of(message: Message) -> Delivery | None:
    """Read the counts from the reply subject, in its form of 9 tokens or, with domain and account, of 11 or more."""
    tokens = message.reply.split(".")
    if len(tokens) < 9 or tokens[:2] != ["$JS", "ACK"]:
        return None
    delivered = 4 if len(tokens) < 11 else 6
    return Delivery(
        subject=message.subject,
        data=message.data,
        stream_sequence=int(tokens[delivered + 1]),
        delivered=int(tokens[delivered]),
        reply=message.reply,
        headers=message.headers or {},
        stored_at=int(tokens[delivered + 3]) / 1e9,
    )
