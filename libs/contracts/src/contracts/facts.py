"""Facts about threads, on THREADS: what others may rely on. Written by conversation through its outbox.

`id` is unique per fact and is the `Nats-Msg-Id`; a subscriber that has seen it does nothing again.
"""

from typing import Any

import msgspec


class _Fact(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=True):
    id: str
    thread_id: str
    user_id: str
    at: str
    audience: list[str] = []
    """Whom it concerns: the user ids of all members, the owner first. Empty in a thread that nobody else is in."""

    @property
    def told(self) -> tuple[str, ...]:
        """Everybody to tell, the owner first, each once."""
        return tuple(dict.fromkeys((self.user_id, *self.audience)))


class ThreadCreated(_Fact, tag="thread.created"):
    """A thread exists. `user_id` is its owner in every fact."""

    title: str


class ThreadUpdated(_Fact, tag="thread.updated"):
    """Title, flags, tags or model changed; `changes` holds the new values of what changed."""

    changes: dict[str, Any]


class ThreadDeleted(_Fact, tag="thread.deleted"):
    """The thread and its messages are gone from MongoDB; whoever keeps more of it deletes it now."""


class MessageAccepted(_Fact, tag="message.accepted"):
    """A user's message and its pending answer are stored; the run will finish. `by` is who wrote it, `run_at` when it is answered,
    where that is not now."""

    message_id: str
    assistant_message_id: str
    run_id: str
    by: str = ""
    run_at: str = ""


class RunEnded(_Fact, tag="run.ended"):
    """The run's result is stored. `status` is `complete`, `error` or `cancelled`; `code` says which error; `by` is who
    stopped it, where somebody did."""

    run_id: str
    message_id: str
    status: str
    code: str | None = None
    preview: str = ""
    by: str = ""


class RunWaiting(_Fact, tag="run.waiting"):
    """The run waits for a timer or a person, since `at`; told once per wait. The fields are those of the run's event."""

    run_id: str
    message_id: str
    wait_id: str
    reason: str
    prompt: str = ""
    expires_at: str | None = None


class ThreadShared(_Fact, tag="thread.shared"):
    """Somebody joined the thread by an invitation that `by` had made. `role` is `editor` or `viewer`."""

    member_id: str
    role: str
    by: str
    title: str = ""


class ThreadMemberChanged(_Fact, tag="thread.member_changed"):
    """A member has another role now. `owner`: the thread was handed over to them by `by`, who is told of as an editor by a fact
    of its own."""

    member_id: str
    role: str
    by: str


class ThreadMemberRemoved(_Fact, tag="thread.member_removed"):
    """A member was removed, or left where `by` is that member. `audience` has that member too, at its end: they are told,
    and may not see the thread any more from now on."""

    member_id: str
    by: str


Fact = (
    ThreadCreated
    | ThreadUpdated
    | ThreadDeleted
    | MessageAccepted
    | RunEnded
    | RunWaiting
    | ThreadShared
    | ThreadMemberChanged
    | ThreadMemberRemoved
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)


def encode_fact(fact: Fact) -> bytes:
    """The bytes that go into the outbox and onto THREADS."""
    return _encoder.encode(fact)


def decode_fact(data: bytes) -> Fact:
    """Read a fact back; unknown fields are ignored; raises msgspec.ValidationError."""
    return _decoder.decode(data)


class FeedEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One entry of a user's feed, on FEEDS and on `GET /v1/me/events`.

    `type` is `thread.changed`, `thread.deleted`, `thread.shared`, `thread.member_changed`, `thread.member_removed`,
    `message.accepted`, `run.waiting`, `run.completed`, `run.failed`, `run.cancelled`, or `thread.read`: the user has read the
    thread's entries up to the stream sequence `up_to`, on some device. `unread` says that the entry raises the thread's
    unread count: the user was not watching when it was written. `by` is the user who did it, where it was not the owner or
    nobody. `reason`, `wait_id`, `prompt` and `expires_at` are those of the wait. `run_at` is when a message for later is answered.
    """

    id: str
    type: str
    thread_id: str
    at: str
    run_id: str | None = None
    message_id: str | None = None
    code: str | None = None
    preview: str = ""
    changes: dict[str, Any] | None = None
    unread: bool = False
    by: str = ""
    reason: str = ""
    wait_id: str = ""
    prompt: str = ""
    expires_at: str | None = None
    up_to: int = 0
    run_at: str = ""
