"""What people are called in a terminal: nobody has a name but the id that others know them by."""

from typing import Final

_LETTERS: Final = 6


class People:
    """The names of a conversation's people, as the person at this terminal reads them."""

    def __init__(self, me: str) -> None:
        self.me = me

    def name(self, user_id: str | None) -> str:
        """`you`, or the end of the id."""
        if not user_id:
            return "somebody"
        if user_id == self.me:
            return "you"
        return user_id if len(user_id) <= _LETTERS + 4 else f"{user_id.partition('_')[0]}_…{user_id[-_LETTERS:]}"
