"""Create a thread; its owner is created with it when first seen."""

from collections.abc import Sequence

from contracts.ids import FACT, THREAD

from conversation.domain.entities import Thread, User
from conversation.domain.facts import thread_created
from conversation.domain.limits import check_tags, check_title
from conversation.domain.refusals import known_id, unknown_model
from conversation.handlers.access import check_user
from conversation.ports import Parts, Writes


async def create_thread(
    parts: Parts, user_id: str, *, title: str, model: str, tags: Sequence[str], thread_id: str = ""
) -> Thread:
    """A new thread, or the user's own with that `thread_id`, unchanged, where there is one already. An empty title is filled
    from the first message, an empty model leaves the choice to each message."""
    if model and parts.registry.find(model) is None:
        raise unknown_model(model)
    now = parts.now()
    thread = Thread(
        id=known_id(THREAD, thread_id) if thread_id else parts.new_id(THREAD),
        user_id=check_user(user_id),
        created_at=now,
        updated_at=now,
        title=check_title(title, parts.limits),
        model=model,
        tags=check_tags(tags, parts.limits),
    )
    fact = thread_created(thread, parts.new_id(FACT))

    async def body(writes: Writes) -> Thread:
        existing = await writes.thread(user_id, thread_id) if thread_id else None
        if existing is not None:
            return existing
        if await writes.user(user_id) is None:
            await writes.add_user(User(id=user_id, created_at=now))
        await writes.add_thread(thread)
        writes.say(fact)
        return thread

    return await parts.records.transaction(body)
