"""Create a thread; its owner is created with it when first seen."""

from collections.abc import Sequence

from contracts.codes import Code
from contracts.ids import FACT, THREAD

from conversation.domain.entities import KINDS, NORMAL, Thread, User
from conversation.domain.facts import thread_created
from conversation.domain.limits import check_agent, check_tags, check_title
from conversation.domain.members import role_of
from conversation.domain.queueing import check_policy
from conversation.domain.refusals import RefusedError, known_id, not_found, unknown_model
from conversation.handlers.access import check_user
from conversation.handlers.repeating import request_of
from conversation.ports import Parts, Writes


async def create_thread(
    parts: Parts,
    user_id: str,
    *,
    title: str,
    model: str,
    tags: Sequence[str],
    thread_id: str = "",
    kind: str = "",
    agent: str = "",
    on_busy: str = "",
    key: str = "",
) -> Thread:
    """A new thread, or the one with that `thread_id`, unchanged, where there is one already that the user is in. Idempotent by
    `key`. An empty title is filled from the first message, an empty model leaves the choice to each message."""
    if kind and kind not in KINDS:
        raise RefusedError(Code.BODY_INVALID, f"The kind is {kind[:40]!r}; it must be one of {', '.join(KINDS)}.")
    if model and parts.registry.find(model) is None:
        raise unknown_model(model)
    asked = (title, model, list(tags), thread_id, kind, agent, on_busy)
    request = request_of(parts.limits, user_id, key, "CreateThread", *asked)
    now = parts.now()
    thread = Thread(
        id=known_id(THREAD, thread_id) if thread_id else parts.new_id(THREAD),
        user_id=check_user(user_id),
        created_at=now,
        updated_at=now,
        title=check_title(title, parts.limits),
        model=model,
        tags=check_tags(tags, parts.limits),
        kind=kind or NORMAL,
        agent=check_agent(agent),
        on_busy=check_policy(on_busy),
    )
    fact = thread_created(thread, parts.new_id(FACT))

    async def body(writes: Writes) -> Thread:
        if (made := await request.made_thread(writes)) is not None:
            return made
        existing = await writes.any_thread(thread_id) if thread_id else None
        if existing is not None:
            if role_of(existing, user_id) is None:
                raise not_found(THREAD)
            return existing
        await request.remember(writes, thread.id, thread.id, now)
        if await writes.user(user_id) is None:
            await writes.add_user(User(id=user_id, created_at=now))
        await writes.add_thread(thread)
        writes.say(fact)
        return thread

    return await parts.records.transaction(body)
