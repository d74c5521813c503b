"""Webhooks over HTTP: signed by Standard Webhooks, sent only where that may be."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from contracts.times import parse_rfc3339
from contracts.webhooks import Webhook, WebhookWork
from egress.connector import Resolver, system_resolver
from egress.post import PostFailedError, PostRules, post
from egress.urls import UrlRefusedError
from standardwebhooks import Webhook as Signer

from notifier.ports import Reply

AGENT: Final = "Everthread (webhooks)"


class WebhookSender:
    """notifier.ports.Receiver."""

    def __init__(self, rules: PostRules, resolver: Resolver = system_resolver) -> None:
        self._rules = rules
        self._resolver = resolver

    async def send(self, webhook: Webhook, work: WebhookWork, now: datetime) -> Reply:
        """See the port. Every secret that is still valid signs, so that a receiver may have either."""
        headers = {
            "content-type": "application/json",
            "user-agent": AGENT,
            "accept-encoding": "identity",
            "webhook-id": work.event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signatures_of(webhook, work, now),
        }
        try:
            answer = await post(webhook.url, work.body.encode(), headers, self._rules, self._resolver)
        except UrlRefusedError as error:
            return Reply(0, f"Nothing was sent: {error}.", refused=True)
        except PostFailedError as error:
            return Reply(0, f"No answer: {error}.")
        if 300 <= answer.status < 400:
            return Reply(answer.status, f"The receiver answered {answer.status}; redirects are not followed.")
        return Reply(
            answer.status,
            f"The receiver answered {answer.status}.",
            retry_after=retry_after_of({k.lower(): v for k, v in answer.headers.items()}.get("retry-after", ""), now),
        )


def signatures_of(webhook: Webhook, work: WebhookWork, now: datetime) -> str:
    """The header `webhook-signature`: one signature per valid secret, separated by blanks."""
    moment = now.astimezone(UTC)
    valid = [secret for secret in webhook.secrets if secret.until is None or parse_rfc3339(secret.until) > moment]
    return " ".join(Signer(secret.value).sign(work.event_id, moment, work.body) for secret in valid)


def retry_after_of(text: str, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, in either of its forms; 0 for none and for nonsense."""
    if text.isascii() and text.isdigit() and len(text) < 9:
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return 0.0
