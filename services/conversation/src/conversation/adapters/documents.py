"""Entities as MongoDB documents and back. Field names are the entities'; `_id` is the id."""

from typing import Any

import msgspec
from contracts.client_tools import is_results
from contracts.parts import Part, TextPart
from contracts.run_state import RunState
from contracts.times import parse_rfc3339
from contracts.usage import LedgerEntry, Usage

from conversation.domain.acceptance import Accepted, Remembered
from conversation.domain.deletion import Deletion
from conversation.domain.entities import NORMAL, Message, Preferences, Run, Thread, User
from conversation.domain.invitations import TRACE_LIFE, Invitation
from conversation.domain.members import Member, role_of

Document = dict[str, Any]
_parts: msgspec.json.Decoder[tuple[Part, ...]] = msgspec.json.Decoder(tuple[Part, ...])


def thread_document(thread: Thread) -> Document:
    """A new thread."""
    return {
        "_id": thread.id,
        "user_id": thread.user_id,
        "title": thread.title,
        "model": thread.model,
        "agent": thread.agent,
        "archived": thread.archived,
        "pinned": thread.pinned,
        "starred": thread.starred,
        "tags": list(thread.tags),
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "length": thread.length,
        "head": thread.head,
        "on_busy": thread.on_busy,
        "kind": thread.kind,
    }


def thread_of(document: Document) -> Thread:
    """Read it back."""
    return Thread(
        id=document["_id"],
        user_id=document["user_id"],
        title=document["title"],
        model=document["model"],
        agent=document["agent"],
        archived=document["archived"],
        pinned=document["pinned"],
        starred=document["starred"],
        tags=tuple(document["tags"]),
        created_at=document["created_at"],
        updated_at=document["updated_at"],
        length=document["length"],
        head=document["head"],
        on_busy=document.get("on_busy", ""),
        last_run=document.get("last_run", ""),
        branch_labels=document.get("branch_labels", {}),
        kind=document.get("kind", NORMAL),
        members=tuple(_member_of(member) for member in document.get("members", ())),
        former=tuple(document.get("former", ())),
        owned_since=document.get("owned_since"),
    )


def thread_for(document: Document, user_id: str) -> Thread | None:
    """Read it back for one user; None for a stranger."""
    thread = thread_of(document)
    return None if role_of(thread, user_id) is None else thread


def members_fields(thread: Thread) -> Document:
    """Who is in a thread, its owner first of all, and who was."""
    return {
        "user_id": thread.user_id,
        **({"owned_since": thread.owned_since} if thread.owned_since else {}),
        "members": [
            {"user_id": member.user_id, "role": member.role, "since": member.since, "by": member.by}
            for member in thread.members
        ],
        "former": list(thread.former),
    }


def _member_of(document: Document) -> Member:
    return Member(
        user_id=document["user_id"], role=document["role"], since=document["since"], by=document.get("by", "")
    )


def deletion_document(deletion: Deletion) -> Document:
    """A new deletion."""
    return {
        "_id": deletion.thread_id,
        "user_ids": list(deletion.user_ids),
        "run_ids": list(deletion.run_ids),
        "schedule_ids": list(deletion.schedule_ids),
        "shadow_ids": list(deletion.shadow_ids),
        "asked_at": deletion.asked_at,
        "next_at": deletion.next_at,
        "passes": deletion.passes,
    }


def deletion_of(document: Document) -> Deletion:
    """Read it back."""
    return Deletion(
        thread_id=document["_id"],
        user_ids=tuple(document["user_ids"]),
        run_ids=tuple(document["run_ids"]),
        schedule_ids=tuple(document["schedule_ids"]),
        shadow_ids=tuple(document["shadow_ids"]),
        asked_at=document["asked_at"],
        next_at=document["next_at"],
        passes=document["passes"],
    )


def invitation_document(invitation: Invitation) -> Document:
    """A new invitation."""
    return {
        "_id": invitation.id,
        "thread_id": invitation.thread_id,
        "token_hash": invitation.token_hash,
        "role": invitation.role,
        "by": invitation.by,
        "created_at": invitation.created_at,
        "expires_at": invitation.expires_at,
        "max_uses": invitation.max_uses,
        "uses": invitation.uses,
    }


def invitation_trace_document(invitation: Invitation) -> Document:
    """What stays known of a new invitation when it is gone."""
    return {
        "_id": invitation.id,
        "thread_id": invitation.thread_id,
        "token_hash": invitation.token_hash,
        "expires_at": invitation.expires_at,
        "revoked": False,
        "forget_at": invitation.expires_at + TRACE_LIFE,
    }


def invitation_of(document: Document) -> Invitation:
    """Read it back."""
    return Invitation(id=document["_id"], **{name: value for name, value in document.items() if name != "_id"})


def message_document(message: Message) -> Document:
    """A new message."""
    return {
        "_id": message.id,
        "thread_id": message.thread_id,
        "user_id": message.user_id,
        "position": message.position,
        "role": message.role,
        "status": message.status,
        "content": message.content,
        "parts": parts_field(message.parts, message.content),
        "model": message.model,
        "usage": usage_field(message.usage),
        "cost_microusd": message.cost_microusd,
        "run_id": message.run_id,
        "parent_message_id": message.parent_message_id,
        "created_at": message.created_at,
        "error_code": message.error_code,
        "error_message": message.error_message,
        "sequence": message.sequence,
        **({"service": message.service} if message.service else {}),
    }


def message_of(document: Document) -> Message:
    """Read it back."""
    return Message(
        id=document["_id"],
        thread_id=document["thread_id"],
        user_id=document["user_id"],
        position=document["position"],
        role=document["role"],
        status=document["status"],
        content=document["content"],
        parts=_parts_of(document["parts"], document["content"]),
        model=document["model"],
        usage=usage_of(document["usage"]),
        cost_microusd=document["cost_microusd"],
        run_id=document["run_id"],
        parent_message_id=document["parent_message_id"],
        created_at=document["created_at"],
        error_code=document["error_code"],
        error_message=document["error_message"],
        sequence=document["sequence"],
        waiting=document.get("waiting", False),
        cancelled_by=document.get("cancelled_by", ""),
        service=document.get("service", ""),
    )


def parts_field(parts: "tuple[Part, ...] | list[Part]", content: str) -> str | None:
    """Parts as JSON text; None where they are no more than the content.

    JSON and not BSON: a tool's input may hold numbers of more than 64 bits, which BSON refuses to store.
    """
    if not parts or (len(parts) == 1 and isinstance(parts[0], TextPart) and parts[0].text == content):
        return None
    return msgspec.json.encode(parts).decode()


def holds_results(field: str | None) -> bool:
    """Whether parts of a tool's message are what came of calls that were left to a client (Message.is_results)."""
    return is_results("tool", _parts_of(field, ""))


def _parts_of(field: str | None, content: str) -> tuple[Part, ...]:
    if field is not None:
        return _parts.decode(field)
    return (TextPart(text=content),) if content else ()


def usage_field(usage: Usage | None) -> Document | None:
    """Token counts."""
    return None if usage is None else msgspec.to_builtins(usage)


def usage_of(field: Document | None) -> Usage | None:
    """Read them back."""
    return None if field is None else msgspec.convert(field, Usage)


def first_text_field(state: RunState) -> Document:
    """When a run's first text was stored; nothing for a run without any."""
    return {} if state.first_text_at is None else {"first_text_at": parse_rfc3339(state.first_text_at)}


def run_document(run: Run) -> Document:
    """A new run."""
    return {
        "_id": run.id,
        "thread_id": run.thread_id,
        "user_id": run.user_id,
        "question_id": run.question_id,
        "message_id": run.message_id,
        "model": run.model,
        "path": run.path,
        "status": run.status,
        "created_at": run.created_at,
        "deadline_at": run.deadline_at,
        "check_at": run.check_at,
        "revivals": run.revivals,
        **({"client": run.client} if run.client else {}),
        **({"client_tools": run.client_tools} if run.client_tools else {}),
        **({"context": run.context} if run.context else {}),
        **({"shadowed": True} if run.shadowed else {}),
        **({"agent": run.agent} if run.agent else {}),
        **({"roles": list(run.roles)} if run.roles else {}),
        **(
            {"held": run.held, "behind": run.behind, "start_at": run.start_at, "floating": run.floating}
            if run.held
            else {}
        ),
        **({"audience": list(run.audience)} if run.audience else {}),
    }


def run_of(document: Document) -> Run:
    """Read it back; fields of its end are there only once it has ended."""
    return Run(
        id=document["_id"],
        thread_id=document["thread_id"],
        user_id=document["user_id"],
        question_id=document["question_id"],
        message_id=document["message_id"],
        model=document["model"],
        path=document["path"],
        status=document["status"],
        created_at=document["created_at"],
        deadline_at=document["deadline_at"],
        check_at=document.get("check_at"),
        revivals=document["revivals"],
        ended_at=document.get("ended_at"),
        recorded_at=document.get("recorded_at"),
        usage=usage_of(document.get("usage")),
        cost_microusd=document.get("cost_microusd"),
        error_code=document.get("error_code", ""),
        error_message=document.get("error_message", ""),
        final_sequence=document.get("final_sequence", 0),
        attempts=document.get("attempts", 0),
        client=document.get("client", ""),
        client_tools=document.get("client_tools", ""),
        context=document.get("context", ""),
        first_text_at=document.get("first_text_at"),
        shadowed=document.get("shadowed", False),
        departed_at=document.get("departed_at"),
        agent=document.get("agent", ""),
        roles=tuple(document.get("roles", ())),
        held=document.get("held", ""),
        behind=document.get("behind", ""),
        next_run=document.get("next_run", ""),
        start_at=document.get("start_at"),
        floating=document.get("floating", False),
        steers=tuple(document.get("steers", ())),
        audience=tuple(document.get("audience", ())),
        cancelled_by=document.get("cancelled_by", ""),
    )


def ledger_documents(run: Run, state: RunState, ended_at: object) -> list[Document]:
    """One document per model call of the run, each under a key that makes a second booking impossible."""
    return [_ledger_document(run, entry, index, ended_at) for index, entry in enumerate(state.ledger)]


def _ledger_document(run: Run, entry: LedgerEntry, index: int, booked_at: object) -> Document:
    return {
        "_id": f"{run.id}:{entry.attempt}:{entry.step}:{index}",
        "user_id": run.user_id,
        "thread_id": run.thread_id,
        "run_id": run.id,
        "attempt": entry.attempt,
        "step": entry.step,
        "model": entry.model,
        "usage": usage_field(entry.usage),
        "cost_microusd": entry.cost_microusd,
        "booked_at": booked_at,
    }


def user_document(user: User) -> Document:
    """A new user."""
    return {
        "_id": user.id,
        "created_at": user.created_at,
        "system_prompt": user.preferences.system_prompt,
        "default_model": user.preferences.default_model,
        "path": user.preferences.path,
    }


def user_of(document: Document) -> User:
    """Read it back."""
    return User(
        id=document["_id"],
        created_at=document["created_at"],
        preferences=Preferences(
            system_prompt=document["system_prompt"],
            default_model=document["default_model"],
            path=document.get("path", ""),
        ),
    )


def key_id(user_id: str, key: str) -> str:
    """The id under which an idempotency key is remembered: keys of different users never meet."""
    return f"{user_id} {key}"


def remembered_document(user_id: str, key: str, remembered: Remembered, created_at: object) -> Document:
    """An accepted key."""
    return {
        "_id": key_id(user_id, key),
        "thread_id": remembered.thread_id,
        "body_hash": remembered.body_hash,
        "message_id": remembered.accepted.message_id,
        "steered": remembered.accepted.steered,
        "queued": remembered.accepted.queued,
        "assistant_message_id": remembered.accepted.assistant_message_id,
        "run_id": remembered.accepted.run_id,
        "path": remembered.accepted.path,
        "created_at": created_at,
        **({"made": remembered.made} if remembered.made else {}),
    }


def remembered_of(document: Document) -> Remembered:
    """Read it back."""
    return Remembered(
        thread_id=document["thread_id"],
        body_hash=bytes(document["body_hash"]),
        accepted=Accepted(
            message_id=document["message_id"],
            assistant_message_id=document["assistant_message_id"],
            run_id=document["run_id"],
            path=document["path"],
            steered=document.get("steered", False),
            queued=document.get("queued", False),
        ),
        made=document.get("made", ""),
    )
