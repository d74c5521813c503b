"""Rename, archive, pin, star or tag a thread, or choose its model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts.ids import FACT

from conversation.domain.entities import Thread
from conversation.domain.facts import thread_updated
from conversation.domain.limits import check_tags, check_title
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


async def update_thread(parts: Parts, user_id: str, thread_id: str, wanted: ThreadChanges) -> Thread:
    """The thread after the change. What already has its new value is no change; none at all stores and says nothing."""
    values: dict[str, Any] = {
        "archived": wanted.archived,
        "pinned": wanted.pinned,
        "starred": wanted.starred,
        "model": wanted.model,
    }
    if wanted.title is not None:
        values["title"] = check_title(wanted.title, parts.limits)
    if wanted.tags is not None:
        values["tags"] = check_tags(wanted.tags, parts.limits)
    if wanted.model and parts.registry.find(wanted.model) is None:
        raise unknown_model(wanted.model)

    async def body(writes: Writes) -> Thread:
        thread = await access_thread(writes, user_id, thread_id)
        changes = {
            name: value for name, value in values.items() if value is not None and value != getattr(thread, name)
        }
        if not changes:
            return thread
        now = parts.now()
        changed = replace(thread, **changes, updated_at=now)
        await writes.change_thread(changed, changes)
        told = {name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()}
        writes.say(thread_updated(changed, told, parts.new_id(FACT), now))
        return changed

    return await parts.records.transaction(body)
