"""Every setting of the notifier."""

from pathlib import Path

from contracts.topology import WEBHOOK_SHARE
from egress.addresses import NETWORKS
from pydantic import Field
from runtime.settings import ServiceSettings

from notifier.domain.retries import STANDARD_WAITS


class NotifierSettings(ServiceSettings):
    """The shared settings, and the notifier's own."""

    facts_at_once: int = Field(
        default=32, ge=1, le=1000, description="How many facts one notifier handles at the same time."
    )
    webhook_concurrency: int = Field(
        default=4,
        ge=1,
        le=100,
        description="How many requests one notifier has under way to one webhook at the same time.",
    )
    webhook_seconds: float = Field(
        default=10.0,
        gt=0,
        le=120,
        description="How long a webhook's receiver, or a push service, may take, in seconds.",
    )
    webhook_waits: str = Field(
        default=",".join(f"{wait:g}" for wait in STANDARD_WAITS),
        pattern=r"^\d+(\.\d+)?(,\d+(\.\d+)?)*$",
        description="The waits before a failed delivery to a webhook is tried again, in seconds, separated by commas; after the"
        " last one it is dead.",
    )
    webhook_share: int = Field(
        default=WEBHOOK_SHARE,
        ge=1,
        le=WEBHOOK_SHARE,
        description="How many deliveries may wait for one webhook whatever waits for others, and a twentieth of how many may wait"
        " in all before no webhook is lent more; what there is no room for is dead at once. The same for gateway and notifier.",
    )
    receiver_networks: str = Field(
        default="",
        pattern=NETWORKS,
        description="Networks that are not public and that webhooks and push may be sent to all the same: 10.20.0.0/16,…"
        " The same for gateway and notifier.",
    )
    insecure_receivers: bool = Field(
        default=False,
        description="For development only: webhooks and push may go to http:// addresses. The same for gateway and notifier.",
    )
    vapid_key_file: Path | None = Field(
        default=None,
        description="A P-256 private key (PEM, PKCS 8) that signs Web Push messages. Unset: nothing is pushed to browsers.",
    )
    vapid_subject: str = Field(
        default="mailto:operator@everthread.invalid",
        pattern=r"^(mailto:|https://)\S+$",
        description="Where a push service's operator finds the person responsible, mailto: or https://.",
    )
    nats_monitor_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^,\s]+(,https?://[^,\s]+)*$",
        repr=False,
        description="Where the NATS servers' monitor pages are (http://host:8222), several separated by commas: their figures"
        " become metrics of the notifier. Unset: no figures of the broker.",
    )

    @property
    def waits(self) -> tuple[float, ...]:
        """`webhook_waits` as numbers."""
        return tuple(float(text) for text in self.webhook_waits.split(","))
