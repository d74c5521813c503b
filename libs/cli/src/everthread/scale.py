"""`--scale gateway=2,inference=2`: how many processes each service has."""

from typing import Final

from everthread.errors import EXIT_USAGE, RefusedError

SERVICES: Final = ("conversation", "inference", "notifier", "gateway")
"""In the order they are started; they are stopped in the reverse."""
MOST: Final = 16


def parse_scale(text: str) -> dict[str, int]:
    """Every service with its count, 1 where the text does not name it. Raises RefusedError."""
    counts = dict.fromkeys(SERVICES, 1)
    for item in filter(None, (item.strip() for item in text.split(","))):
        name, equals, number = (piece.strip() for piece in item.partition("="))
        if not equals or name not in counts:
            raise RefusedError(
                f"--scale {item!r} is not service=count; the services are {', '.join(SERVICES)}", EXIT_USAGE
            )
        if not (number.isascii() and number.isdigit() and 1 <= int(number) <= MOST):
            raise RefusedError(f"--scale {item!r}: a service has 1 to {MOST} processes, not {number!r}", EXIT_USAGE)
        counts[name] = int(number)
    return counts
