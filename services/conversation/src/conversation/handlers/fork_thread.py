"""Fork a thread: a new one that begins with copies of its messages."""

from contracts.ids import FACT, MESSAGE

from conversation.domain.branches import Tree
from conversation.domain.entities import Thread, User
from conversation.domain.facts import thread_created
from conversation.domain.forks import MOST, check_forkable, plan_fork
from conversation.domain.limits import check_title
from conversation.domain.refusals import known_id, not_found
from conversation.handlers.access import access_thread, check_user
from conversation.handlers.repeating import request_of
from conversation.ports import Parts, Writes


async def fork_thread(
    parts: Parts, user_id: str, thread_id: str, message_id: str, title: str, *, key: str = ""
) -> Thread:
    """The user's own new thread, with copies of everything from the beginning of the branch to that message. Idempotent by
    `key`, whatever became of the other thread since."""
    request = request_of(parts.limits, check_user(user_id), key, "ForkThread", thread_id, message_id, title)
    if key and (made := await parts.records.transaction(request.made_thread)) is not None:
        return made
    title = check_title(title, parts.limits)
    thread = await access_thread(parts, user_id, thread_id)
    path = Tree(await parts.records.stubs(thread.id)).path(known_id(MESSAGE, message_id))
    if not path:
        raise not_found(MESSAGE)
    messages = await parts.records.messages_of([stub.id for stub in path][: MOST + 1])
    check_forkable(messages)
    now = parts.now()
    fork, copies = plan_fork(thread, messages, user_id, title, now=now, new_id=parts.new_id)

    async def body(writes: Writes) -> Thread:
        if (made := await request.made_thread(writes)) is not None:
            return made
        await request.remember(writes, fork.id, fork.id, now)
        if await writes.user(user_id) is None:
            await writes.add_user(User(id=user_id, created_at=now))
        await writes.add_thread(fork)
        await writes.add_messages(copies)
        writes.say(thread_created(fork, parts.new_id(FACT)))
        return fork

    return await parts.records.transaction(body)
