"""Every setting of the notifier."""

from pydantic import Field
from runtime.settings import ServiceSettings


class NotifierSettings(ServiceSettings):
    """The shared settings, and the notifier's own."""

    facts_at_once: int = Field(
        default=32, ge=1, le=1000, description="How many facts one notifier handles at the same time."
    )
    nats_monitor_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^,\s]+(,https?://[^,\s]+)*$",
        repr=False,
        description="Where the NATS servers' monitor pages are (http://host:8222), several separated by commas: their figures"
        " become metrics of the notifier. Unset: no figures of the broker.",
    )
