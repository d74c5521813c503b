"""Rename, archive, pin, star or tag a thread, or choose its model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts.ids import FACT

from conversation.domain.branches import Tree
from conversation.domain.entities import Thread
from conversation.domain.facts import thread_updated
from conversation.domain.limits import check_agent, check_tags, check_title
from conversation.domain.members import check_role
from conversation.domain.queueing import check_policy
from conversation.domain.refusals import unknown_model
from conversation.handlers.access import access_thread
from conversation.ports import Parts, Writes


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadChanges:
    """New values; None leaves a field as it is. An empty model takes the thread's choice back."""

    title: str | None = None
    model: str | None = None
    archived: bool | None = None
    pinned: bool | None = None
    starred: bool | None = None
    tags: Sequence[str] | None = None
    agent: str | None = None
    on_busy: str | None = None
    branch: str | None = None
    """A message of the branch that goes on from now on."""


async def update_thread(parts: Parts, user_id: str, thread_id: str, wanted: ThreadChanges) -> Thread:
    """The thread after the change. What already has its new value is no change; none at all stores and says nothing. For
    editors, but where a list shows the thread is the owner's own affair."""
    values: dict[str, Any] = {
        "archived": wanted.archived,
        "pinned": wanted.pinned,
        "starred": wanted.starred,
        "model": wanted.model,
        "agent": None if wanted.agent is None else check_agent(wanted.agent),
        "on_busy": None if wanted.on_busy is None else check_policy(wanted.on_busy),
    }
    if wanted.title is not None:
        values["title"] = check_title(wanted.title, parts.limits)
    if wanted.tags is not None:
        values["tags"] = check_tags(wanted.tags, parts.limits)
    if wanted.model and parts.registry.find(wanted.model) is None:
        raise unknown_model(wanted.model)

    async def body(writes: Writes) -> Thread:
        thread = await access_thread(writes, user_id, thread_id, "write")
        if any(value is not None for value in (wanted.archived, wanted.pinned, wanted.starred)):
            check_role(thread, user_id, "own")
        changes = {
            name: value for name, value in values.items() if value is not None and value != getattr(thread, name)
        }
        if wanted.branch:
            head = Tree(await writes.stubs(thread.id)).branch(wanted.branch, thread).head
            changes |= {"head": head} if head != thread.head else {}
        if not changes:
            return thread
        now = parts.now()
        changed = replace(thread, **changes, updated_at=now)
        await writes.change_thread(changed, changes)
        told = {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
        if "head" in told:
            told["branch"] = told.pop("head")
        writes.say(thread_updated(changed, told, parts.new_id(FACT), now))
        return changed

    return await parts.records.transaction(body)
