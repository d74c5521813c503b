"""The path that each user would like, out of their preferences, remembered for a while."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from gateway.ports import Conversation

REMEMBERED_SECONDS: Final = 30.0
"""How long another gateway's change of a preference takes to be heard of here."""
REMEMBERED_USERS: Final = 20_000


class PathWishes:
    """`ports.Wishes`. A call to conversation per user and half minute, where the flag looks at wishes at all."""

    def __init__(self, conversation: Conversation, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._conversation: Final = conversation
        self._clock: Final = clock
        self._known: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def of(self, user_id: str) -> str:
        """See ports.Wishes."""
        known = self._known.get(user_id)
        if known is not None and self._clock() - known[0] < REMEMBERED_SECONDS:
            return known[1]
        user = await self._conversation.get_user(user_id)
        self.remember(user_id, user.preferences.path)
        return user.preferences.path

    def remember(self, user_id: str, path: str) -> None:
        """See ports.Wishes."""
        self._known[user_id] = self._clock(), path
        self._known.move_to_end(user_id)
        while len(self._known) > REMEMBERED_USERS:
            self._known.popitem(last=False)
