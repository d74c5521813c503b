"""Get a user."""

from conversation.domain.entities import User
from conversation.handlers.access import check_user
from conversation.ports import Parts


async def get_user(parts: Parts, user_id: str) -> User:
    """The user, created when first seen."""
    found = await look_up_user(parts, user_id)
    return found or await parts.records.ensure_user(User(id=user_id, created_at=parts.now()))


async def look_up_user(parts: Parts, user_id: str) -> User | None:
    """The user, if seen before; stores nothing."""
    return await parts.records.user(check_user(user_id))
