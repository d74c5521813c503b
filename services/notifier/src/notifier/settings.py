"""Every setting of the notifier."""

from pydantic import Field
from runtime.settings import ServiceSettings


class NotifierSettings(ServiceSettings):
    """The shared settings, and the notifier's own."""

    facts_at_once: int = Field(
        default=32, ge=1, le=1000, description="How many facts one notifier handles at the same time."
    )
