"""What the handlers need of what the notifier and the gateways share: read marks, webhooks, browsers to push to. All of them
raise bus.errors.UnavailableError."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.devices import Device
from contracts.topology import WEBHOOK_SHARE
from contracts.webhooks import Webhook, WebhookResult, WebhookWork
from egress.addresses import AddressRule, is_public

from gateway.domain.unread import Unread


class Feeds(Protocol):
    """The users' feeds, as far as what is unread."""

    async def unread(self, user_id: str) -> Unread:
        """What is unread now. Not to be changed."""

    async def mark_read(self, user_id: str, thread_id: str, up_to: int) -> None:
        """The user has read the thread's entries up to a stream sequence. All devices are told. Idempotent."""


class Webhooks(Protocol):
    """The subscriptions."""

    async def waiting(self, webhook_id: str) -> int:
        """How many deliveries wait for it, those that are tried again included."""

    async def all(self) -> Sequence[Webhook]:
        """Those that are not deleted, the oldest first."""

    async def get(self, webhook_id: str) -> tuple[Webhook | None, int]:
        """One, None where there is none or it is deleted, with the revision to replace it at."""

    async def put(self, webhook: Webhook, *, expected: int) -> int:
        """Store it; returns its revision. Raises bus.errors.RevisionConflictError."""


@dataclass(frozen=True, slots=True)
class DeliveryPage:
    """One page of deliveries, in the order of their last change, those that were not tried yet at the end. `next_cursor` is
    empty on the last one."""

    items: Sequence[WebhookResult]
    next_cursor: str


class WebhookDeliveries(Protocol):
    """How deliveries went, and what is queued."""

    async def page(self, webhook_id: str, *, status: str, cursor: str, limit: int) -> DeliveryPage:
        """Those of a webhook, of one status or all (empty). Raises contracts.cursor.InvalidCursorError."""

    async def get(self, webhook_id: str, event_id: str) -> WebhookResult | None:
        """One, as it stands now."""

    async def queue(self, work: WebhookWork) -> bool:
        """Have it sent; False where it is queued already. Raises bus.errors.StreamFullError."""


class Browsers(Protocol):
    """The browsers that asked to be told."""

    async def key(self) -> str:
        """The public key that browsers must be given; empty where nothing is pushed here."""

    async def of(self, user_id: str) -> Sequence[Device]:
        """Those of a user."""

    async def add(self, user_id: str, device: Device) -> None:
        """Store it, or renew it; whoever used the same browser before is not told through it any more."""

    async def remove(self, user_id: str, device_id: str) -> bool:
        """Forget it; False where there was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """What the calls about reading, webhooks and push are built on. `allowed` and `insecure` say where may be sent to, `share` how
    many deliveries may wait for one webhook."""

    feeds: Feeds
    webhooks: Webhooks
    deliveries: WebhookDeliveries
    browsers: Browsers
    allowed: AddressRule = is_public
    insecure: bool = False
    share: int = WEBHOOK_SHARE
