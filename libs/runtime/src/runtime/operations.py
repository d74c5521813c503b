"""How many database commands something took: counted by whoever sends them, told to whoever wants to know."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Count:
    """Commands so far."""

    __slots__ = ("commands",)

    def __init__(self) -> None:
        self.commands = 0


_count: ContextVar[Count | None] = ContextVar("operations", default=None)


@contextmanager
def counting() -> Iterator[Count]:
    """Count the commands that are sent inside, by this task and those that it starts; an outer count goes on with them."""
    outer, inner = _count.get(), Count()
    token = _count.set(inner)
    try:
        yield inner
    finally:
        _count.reset(token)
        if outer is not None:
            outer.commands += inner.commands


def note() -> None:
    """One more command was sent."""
    count = _count.get()
    if count is not None:
        count.commands += 1


def counted() -> int:
    """Commands that the innermost count has seen so far; 0 where nobody counts."""
    count = _count.get()
    return 0 if count is None else count.commands
