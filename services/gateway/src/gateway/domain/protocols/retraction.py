"""Which texts a `text.retracted` takes back: one rule for every protocol, the fold's."""

from contracts.events import TextRetracted


def is_retracted(event: TextRetracted, opened_at: int, agent: str | None) -> bool:
    """Whether `event` takes back the text or reasoning part that `agent` opened with the event numbered `opened_at`."""
    return opened_at >= event.from_sequence and event.agent in (None, agent)
