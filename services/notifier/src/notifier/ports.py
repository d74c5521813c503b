"""What the handlers need from the outside."""

from typing import Protocol

from contracts.facts import FeedEntry


class Feeds(Protocol):
    """The users' feeds."""

    async def add(self, user_id: str, entry: FeedEntry) -> bool:
        """Append `entry` to the user's feed unless an entry with its id is there; False if it was.

        Durable when it returns. Safe to repeat after any error and at any later time, by any number of notifiers at once:
        the entry is there once. Raises bus.errors.UnavailableError (the entry may or may not be stored).
        """
