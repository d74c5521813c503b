"""What a dead letter says about itself, as headers."""

from typing import Final

REASON: Final = "Everthread-Dead-Reason"
STREAM: Final = "Everthread-Dead-Stream"
CONSUMER: Final = "Everthread-Dead-Consumer"
SUBJECT: Final = "Everthread-Dead-Subject"
SEQUENCE: Final = "Everthread-Dead-Sequence"
DELIVERED: Final = "Everthread-Dead-Delivered"


def dead_letter_headers(
    *, reason: str, stream: str, consumer: str, subject: str, stream_sequence: int, delivered: int
) -> dict[str, str]:
    """Why the letter is dead and where it came from. The reason is one line of at most 500 characters."""
    return {
        REASON: " ".join(reason.split())[:500],
        STREAM: stream,
        CONSUMER: consumer,
        SUBJECT: subject,
        SEQUENCE: str(stream_sequence),
        DELIVERED: str(delivered),
    }


def dead_letter_id(stream: str, consumer: str, stream_sequence: int) -> str:
    """One letter per item and consumer, however often it is buried."""
    return f"{stream}:{consumer}:{stream_sequence}"
