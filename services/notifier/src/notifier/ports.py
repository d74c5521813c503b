"""What the handlers need from the outside. Any of them may raise bus.errors.UnavailableError: then nothing is certain, and
the same call again is safe."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.devices import Device
from contracts.facts import FeedEntry
from contracts.webhooks import Webhook, WebhookResult, WebhookWork


class Feeds(Protocol):
    """The users' feeds."""

    async def add(self, user_id: str, entry: FeedEntry) -> bool:
        """Append `entry` to the user's feed unless an entry with its id is there; False if it was.

        Durable when it returns. Safe to repeat after any error and at any later time, by any number of notifiers at once:
        the entry is there once. Raises bus.errors.UnavailableError (the entry may or may not be stored).
        """

    async def forget(self, user_id: str, thread_id: str) -> None:
        """Erase what the user's feed has of a thread that is deleted, but for the entry that says so. Idempotent."""


class Threads(Protocol):
    """What is known of threads now."""

    async def watched_by(self, thread_id: str) -> frozenset[str]:
        """The users who watch the thread at this moment, on whatever device."""

    async def is_deleted(self, thread_id: str) -> bool:
        """The fact that the thread is deleted is stored, whether it was handled yet or not."""


class Subscriptions(Protocol):
    """The webhook subscriptions."""

    async def wanting(self, event_type: str) -> Sequence[Webhook]:
        """The enabled ones that want events of a type, as of now: one that was stored before the call is among them."""

    def get(self, webhook_id: str) -> Webhook | None:
        """One as last heard, deleted ones included; None for one never heard of."""

    async def pause(self, webhook: Webhook, reason: str, now: datetime) -> bool:
        """Disable it with a reason, durably, unless it is another than `webhook` by now: what somebody changed stays as it is.
        False where it was. Idempotent."""


class Deliveries(Protocol):
    """What is due to webhooks, and how it went."""

    async def queue(self, work: WebhookWork) -> bool:
        """Have it delivered, unless it is queued or was settled before, however long ago (30 days); False if it was.
        Raises bus.errors.StreamFullError."""

    async def has_room(self, webhook_id: str) -> bool:
        """One more may wait for the webhook, as of a moment ago: it has not used up its share of the queue, or others need less
        than theirs. One that is down takes nothing from others."""

    async def is_queued(self, webhook_id: str, event_id: str) -> bool:
        """The delivery is in the queue now."""

    async def result(self, webhook_id: str, event_id: str) -> tuple[WebhookResult | None, int]:
        """How the delivery went so far, with the revision to replace it at."""

    async def record(self, result: WebhookResult, *, expected: int) -> None:
        """Store how it went; of each webhook the last ones are kept. Raises bus.errors.RevisionConflictError where somebody else
        recorded meanwhile."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How one attempt went: `status` is the receiver's, 0 where none came. `refused`: the address may not be sent to, and
    nothing was. `retry_after` is in seconds, where the receiver gave it."""

    status: int
    sentence: str
    refused: bool = False
    retry_after: float = 0.0


class Receiver(Protocol):
    """The other end of webhooks."""

    async def send(self, webhook: Webhook, work: WebhookWork, now: datetime) -> Reply:
        """One signed request. Bounded in time and in what is read; never raises for what the other end does."""


class Devices(Protocol):
    """The browsers that asked to be told."""

    async def of(self, user_id: str) -> Sequence[Device]:
        """Those of a user."""

    async def remove(self, user_id: str, device_id: str) -> None:
        """Forget one: its push service says that it is gone. Idempotent."""


class PushService(Protocol):
    """The browsers' push services."""

    async def push(self, device: Device, payload: bytes, *, topic: str) -> Reply:
        """Send one encrypted message; a later one with the same topic replaces it while it waits there. Never raises for what
        the other end does."""
