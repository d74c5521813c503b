"""What a person does with a thread over HTTP: read it, watch all of it, take another way in it, let others in."""

import secrets
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeVar

import msgspec
from contracts.codes import Code
from contracts.events import RunEvent, TextRetracted, decode_event, event_head
from contracts.ids import MESSAGE, THREAD, check_id

from everthread_client.answers import Accepted, Branch, Invitation, Member, Message, Presence, Thread, Unread
from everthread_client.errors import ProblemError
from everthread_client.following import GapError, Sequel, follow
from everthread_client.sse import SseEvent
from everthread_client.transport import Transport

_LAST_RUNS: Final = 1024
_PAGE: Final = 200

T = TypeVar("T")


class Call(Protocol):
    """One request of the client's."""

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        repeatable: bool,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> bytes:
        """The answer's body. Raises ProblemError, UnreachableError."""


class Threads:
    """The calls about threads, all of which raise ProblemError (`thread_not_found` for a stranger) and UnreachableError."""

    def __init__(self, call: Call, transport: Transport) -> None:
        self._call = call
        self._transport = transport

    async def get(self, thread_id: str) -> Thread:
        """One thread."""
        return msgspec.json.decode(await self._call("GET", _of(thread_id), None, repeatable=True), type=Thread)

    async def newest(self, limit: int = 20) -> list[Thread]:
        """The caller's threads, the newest first, those shared with them too."""
        answer = await self._call("GET", "/v1/threads", None, repeatable=True, query=f"archived=false&limit={limit}")
        return _items(answer, Thread)

    async def messages(self, thread_id: str, branch: str = "") -> list[Message]:
        """The stored view, oldest first, of all branches or of one (`active`, or a message of it)."""
        found, cursor = await self.page(thread_id, "", branch)
        while cursor:
            items, cursor = await self.page(thread_id, cursor, branch)
            found += items
        return found

    async def page(self, thread_id: str, cursor: str, branch: str = "") -> tuple[list[Message], str]:
        """A page of `messages`, and the cursor of the next one, empty on the last."""
        query = f"limit={_PAGE}" + (f"&branch={branch}" if branch else "") + (f"&cursor={cursor}" if cursor else "")
        answer = await self._call("GET", f"{_of(thread_id)}/messages", None, repeatable=True, query=query)
        return _items(answer, Message), msgspec.json.decode(answer, type=dict[str, Any])["next_cursor"] or ""

    async def branches(self, thread_id: str) -> list[Branch]:
        """The branches, oldest first."""
        return _items(await self._call("GET", f"{_of(thread_id)}/branches", None, repeatable=True), Branch)

    async def switch(self, thread_id: str, message_id: str) -> Thread:
        """Go on with the branch that the message is on."""
        answer = await self._call("PATCH", _of(thread_id), {"branch": message_id}, repeatable=True)
        return msgspec.json.decode(answer, type=Thread)

    async def regenerate(self, thread_id: str, message_id: str) -> Accepted:
        """Have a question, or the question of an answer, answered anew, on a branch of its own."""
        return await self._sent(f"{_of(thread_id)}/messages/{check_id(MESSAGE, message_id)}/regenerate", {})

    async def edit(self, thread_id: str, message_id: str, content: str) -> Accepted:
        """Say something else in the place of a message, on a branch of its own."""
        path = f"{_of(thread_id)}/messages/{check_id(MESSAGE, message_id)}/edit"
        return await self._sent(path, {"content": content})

    async def members(self, thread_id: str) -> list[Member]:
        """Who is in the thread, the owner first."""
        return _items(await self._call("GET", f"{_of(thread_id)}/members", None, repeatable=True), Member)

    async def invite(self, thread_id: str, role: str) -> str:
        """The token of a link that lets one other person in as `editor` or `viewer`, for a day."""
        body = {"role": role, "expires_in_seconds": 86_400, "max_uses": 1}
        answer = await self._call("POST", f"{_of(thread_id)}/invitations", body, repeatable=False)
        return str(msgspec.json.decode(answer, type=dict[str, Any])["token"])

    async def preview(self, token: str) -> Invitation:
        """What an invitation is, before one comes in; nothing is used up and nobody is told. Raises ProblemError like `accept`."""
        answer = await self._call("POST", "/v1/invitations/preview", {"token": token}, repeatable=True)
        return msgspec.json.decode(answer, type=Invitation)

    async def accept(self, token: str) -> str:
        """Come in by an invitation; the thread's id."""
        answer = await self._call("POST", "/v1/invitations/accept", {"token": token}, repeatable=True)
        return str(msgspec.json.decode(answer, type=dict[str, Any])["thread_id"])

    async def typing(self, thread_id: str) -> None:
        """Show the others for five seconds that the caller types."""
        await self._call("POST", f"{_of(thread_id)}/typing", None, repeatable=True)

    async def read(self, thread_id: str) -> None:
        """What there is in the thread now has been read."""
        await self._call("POST", f"{_of(thread_id)}/read", {}, repeatable=True)

    async def unread(self) -> Unread:
        """How much of all threads is unread."""
        return msgspec.json.decode(await self._call("GET", "/v1/me/unread", None, repeatable=True), type=Unread)

    async def events(
        self, thread_id: str, cursor: str | None = None, *, connection: Callable[[str], None] | None = None
    ) -> AsyncGenerator[tuple[str, RunEvent | Presence], None]:
        """Everything that is written in the thread after `cursor` (from its beginning without one), by whomever, with the
        cursor after it, and who is there whenever that changes. Goes on until it is closed, over any number of connections,
        and has no patience to lose: `connection` is told of each loss, and "" when the stream stands again. Where the
        server had to tell a run again from its beginning, a `text.retracted` with `from_sequence` 1 takes all of it back.
        Raises ProblemError: `thread_not_found` once the caller may not see the thread any more.
        """
        sequel: Sequel[RunEvent | Presence] = ThreadSequel()
        path = f"{_of(thread_id)}/events"
        async with aclosing(
            follow(self._transport, path, cursor or None, sequel, patience=float("inf"), connection=connection)
        ) as items:
            async for item in items:
                yield item

    async def _sent(self, path: str, body: dict[str, Any]) -> Accepted:
        headers = {"idempotency-key": secrets.token_hex(16)}
        return msgspec.json.decode(
            await self._call("POST", path, body, repeatable=True, headers=headers), type=Accepted
        )


class ThreadSequel:
    """The events of all runs of a thread, each run's by its gapless `sequence`, and presence, which has none. Never finished.

    A stream that ended because the caller may not watch any more is asked for again, and the refusal of that says so.
    """

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def finished(self) -> bool:
        """A thread has no end."""
        return False

    def next(self, event: SseEvent) -> RunEvent | Presence | None:
        """The event if it is the next one of its run; the first that is seen of a run is taken as it is."""
        if event.type == "presence":
            try:
                return msgspec.json.decode(event.data, type=Presence)
            except msgspec.DecodeError:
                return None
        try:
            _, sequence, run_id = event_head(event.data)
        except msgspec.DecodeError:
            return None
        try:
            found = decode_event(event.data)
        except msgspec.ValidationError:
            found = None
        last = self._last.get(run_id)
        # No producer takes back its first event: this is the server's own, before it tells the run once more.
        anew = isinstance(found, TextRetracted) and found.from_sequence <= 1
        if last is not None and not anew:
            if sequence <= last:
                return None
            if sequence > last + 1:
                raise GapError(f"event {sequence} of {run_id} came after {last}")
        self._last[run_id] = sequence
        self._last.move_to_end(run_id)
        if len(self._last) > _LAST_RUNS:
            self._last.popitem(last=False)
        return found


def gone(error: ProblemError) -> bool:
    """The refusal says that the caller is not, or not any more, in the thread, or that there is none."""
    return error.code == Code.THREAD_NOT_FOUND


def _of(thread_id: str) -> str:
    return f"/v1/threads/{check_id(THREAD, thread_id)}"


def _items(answer: bytes, kind: type[T]) -> list[T]:
    return msgspec.convert(msgspec.json.decode(answer, type=dict[str, Any])["items"], list[kind])  # type: ignore[valid-type]  # decided by the argument
