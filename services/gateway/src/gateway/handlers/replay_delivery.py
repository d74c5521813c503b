"""Send a dead delivery again."""

from contracts.codes import Code
from contracts.webhooks import WebhookResult
from msgspec.structs import replace

from gateway.domain.problems import Refusal
from gateway.handlers.change_webhook import check_enabled, known_webhook
from gateway.notice_ports import Notices


async def replay_delivery(notices: Notices, webhook_id: str, event_id: str) -> WebhookResult:
    """Queue it as if it were new, under the same id; returns how it stands now. Of two at once, one is refused.

    One write: the generation on what is queued tells the notifier that it is not the dead one. Raises Refusal."""
    webhook = await known_webhook(notices.webhooks, webhook_id)
    result = await notices.deliveries.get(webhook_id, event_id)
    if result is None:
        raise Refusal(Code.DELIVERY_NOT_FOUND, "There is no such delivery; they are kept for thirty days.")
    if result.status != "dead" or result.work is None:
        raise Refusal(Code.DELIVERY_NOT_DEAD, f"The delivery is {result.status}; only a dead one is sent again.")
    check_enabled(webhook)
    if not await notices.deliveries.queue(replace(result.work, generation=result.generation + 1)):
        raise Refusal(Code.DELIVERY_NOT_DEAD, "The delivery is queued again already.")
    return replace(result, status="pending", generation=result.generation + 1, attempts=0, work=None)
