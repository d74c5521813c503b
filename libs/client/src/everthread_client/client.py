"""The client: typed calls, and streams that survive the death of the gateway they came from."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
import msgspec
from contracts.cursor import START
from contracts.events import RunEvent
from contracts.facts import FeedEntry
from contracts.ids import RUN, THREAD, check_id
from contracts.run_state import RunState

from everthread_client.answers import Accepted, Me, Thread
from everthread_client.errors import ProblemError
from everthread_client.following import FeedSequel, RunSequel, Sequel, follow
from everthread_client.threads import Threads
from everthread_client.transport import Token, Transport


class EverthreadClient:
    """A person's or a service's hold on Everthread over HTTP. Use as `async with`, or `close()` it.

    `base_url`: one gateway or several; the next one is tried when one does not answer. `token`: a bearer JWT, or a function
    that gives a fresh one for each request. `patience`: how long, in seconds, a call or a stream goes on trying while no
    gateway answers. `idle_seconds`: a stream without even a heartbeat for so long is taken for dead and resumed elsewhere.
    """

    def __init__(
        self,
        base_url: str | Sequence[str],
        token: Token,
        *,
        patience: float = 60.0,
        idle_seconds: float = 45.0,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        urls = [base_url] if isinstance(base_url, str) else list(base_url)
        self._transport = Transport(urls, token, http=http, idle_seconds=idle_seconds)
        self._patience = patience
        self.threads = Threads(self._call, self._transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Runs go on without us."""
        await self._transport.close()

    async def create_thread(
        self,
        *,
        title: str | None = None,
        model: str | None = None,
        tags: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Thread:
        """A new thread.

        Repeated by itself with one idempotency key, so that it is made once. After UnreachableError it may or may not exist: to
        repeat it yourself give the same `idempotency_key` again. Raises ProblemError, UnreachableError.
        """
        answer = await self._call(
            "POST",
            "/v1/threads",
            _given(title=title, model=model, tags=None if tags is None else list(tags)),
            repeatable=True,
            headers={"idempotency-key": idempotency_key or secrets.token_hex(16)},
        )
        return msgspec.json.decode(answer, type=Thread)

    async def send(
        self,
        thread_id: str,
        content: str,
        *,
        model: str | None = None,
        parent_message_id: str | None = None,
        agent: str | None = None,
        on_busy: str | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Send a message; once this returns, it will be answered, whatever dies.

        Repeated by itself with one idempotency key, so that it is accepted once. To repeat it yourself after
        UnreachableError give the same `idempotency_key` again. `on_busy` says what it does while another answer of the
        thread goes on: `reject`, `enqueue`, `interrupt` or `steer`. Raises ProblemError, UnreachableError.
        """
        answer = await self._call(
            "POST",
            f"/v1/threads/{check_id(THREAD, thread_id)}/messages",
            _given(content=content, model=model, parent_message_id=parent_message_id, agent=agent, on_busy=on_busy),
            repeatable=True,
            headers={"idempotency-key": idempotency_key or secrets.token_hex(16)},
        )
        return msgspec.json.decode(answer, type=Accepted)

    async def cancel(self, run_id: str) -> bool:
        """Stop a run; what it has written stays. False if it had ended before. Raises ProblemError, UnreachableError."""
        try:
            await self._call("POST", f"/v1/runs/{check_id(RUN, run_id)}/cancel", None, repeatable=True)
        except ProblemError as error:
            if error.code == "run_finished":
                return False
            raise
        return True

    async def me(self) -> Me:
        """Who the token is for. Raises ProblemError, UnreachableError."""
        return msgspec.json.decode(await self._call("GET", "/v1/me", None, repeatable=True), type=Me)

    async def timeline(self, run_id: str) -> dict[str, Any]:
        """Where a run of the caller's spent its time, as the gateway tells it. Raises ProblemError, UnreachableError."""
        answer = await self._call("GET", f"/v1/runs/{check_id(RUN, run_id)}/timeline", None, repeatable=True)
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def run(self, run_id: str) -> dict[str, Any]:
        """A run as `GET /v1/runs/{id}` shows it, with what it waits for. Raises ProblemError, UnreachableError."""
        answer = await self._call("GET", f"/v1/runs/{check_id(RUN, run_id)}", None, repeatable=True)
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def verify(self, run_id: str) -> dict[str, Any]:
        """Whether the fold of the run's log equals the stored message: `equal` is null while there is nothing to compare.
        Raises ProblemError, UnreachableError."""
        answer = await self._call("GET", f"/v1/runs/{check_id(RUN, run_id)}/verify", None, repeatable=True)
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def state(self, run_id: str) -> RunState:
        """The fold of the run's log. Raises ProblemError, UnreachableError."""
        answer = await self._call("GET", f"/v1/runs/{check_id(RUN, run_id)}/state", None, repeatable=True)
        return msgspec.json.decode(answer, type=RunState)

    async def agents(self) -> list[dict[str, Any]]:
        """The agents that a message can name, the default one first. Raises ProblemError, UnreachableError."""
        answer = await self._call("GET", "/v1/agents", None, repeatable=True)
        items: list[dict[str, Any]] = msgspec.json.decode(answer, type=dict[str, Any])["items"]
        return items

    async def runs(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """The caller's newest runs of the last week. Raises ProblemError, UnreachableError."""
        answer = await self._call("GET", "/v1/runs", None, repeatable=True, query=f"limit={limit}")
        items: list[dict[str, Any]] = msgspec.json.decode(answer, type=dict[str, Any])["items"]
        return items

    async def provide_input(self, run_id: str, value: Any, *, wait_id: str = "") -> None:
        """Answer what a run waits for; of several answers the first counts. The same again is harmless. Raises ProblemError
        (`already_answered`, `input_invalid`, `run_not_waiting`), UnreachableError."""
        body = {"value": value, "wait_id": wait_id}
        await self._call("POST", f"/v1/runs/{check_id(RUN, run_id)}/input", body, repeatable=True)

    async def approve(self, run_id: str, approved: bool, *, wait_id: str = "", note: str = "") -> None:
        """Decide whether a tool call may be carried out; as `provide_input`."""
        body = {"approved": approved, "wait_id": wait_id, "note": note}
        await self._call("POST", f"/v1/runs/{check_id(RUN, run_id)}/approve", body, repeatable=True)

    async def steer(self, run_id: str, content: str, *, idempotency_key: str | None = None) -> Accepted:
        """A message that joins the run's answer at its next step. Raises ProblemError (`run_finished`), UnreachableError."""
        answer = await self._call(
            "POST",
            f"/v1/runs/{check_id(RUN, run_id)}/steer",
            {"content": content},
            repeatable=True,
            headers={"idempotency-key": idempotency_key or secrets.token_hex(16)},
        )
        return msgspec.json.decode(answer, type=Accepted)

    async def replay(self, run_id: str, *, speed: float = 1.0) -> AsyncGenerator[RunEvent, None]:
        """The recorded events of a run at their own pace, `speed` times faster, 0 for no pauses; without the model. A replay that
        is cut off begins again, where the events that were given already are left out. Raises as `follow`."""
        sequel: Sequel[RunEvent] = RunSequel(None)
        path = f"/v1/runs/{check_id(RUN, run_id)}/replay?speed={speed}"
        async with aclosing(follow(self._transport, path, None, sequel, patience=self._patience)) as items:
            async for _, event in items:
                yield event

    async def follow(self, run_id: str, cursor: str | None = None) -> AsyncGenerator[RunEvent, None]:
        """The run's events after `cursor` (all of them without one), in order, each once, up to its terminal event.

        Works while the run lives and after it ended. Types of events that this version does not know are left out.
        Raises ProblemError, UnreachableError, BrokenStreamError, InvalidCursorError. Whoever stops before the end closes
        it (`contextlib.aclosing`), so that the connection is closed at once.
        """
        async with aclosing(self.follow_with_cursors(run_id, cursor)) as events:
            async for _, event in events:
                yield event

    async def follow_with_cursors(
        self, run_id: str, cursor: str | None = None
    ) -> AsyncGenerator[tuple[str, RunEvent], None]:
        """`follow`, with the cursor after each event: keep it to go on from there in another process."""
        sequel: Sequel[RunEvent] = RunSequel(cursor or None)
        path = f"/v1/runs/{check_id(RUN, run_id)}/events"
        # Without a cursor a gateway may tell a long answer that has ended in few events.
        begin = cursor or str(START)
        async with aclosing(follow(self._transport, path, begin, sequel, patience=self._patience)) as items:
            async for item in items:
                yield item

    async def me_events(
        self, cursor: str | None = None, *, patience: float | None = None
    ) -> AsyncGenerator[tuple[str, FeedEntry], None]:
        """The caller's feed over all devices, with the cursor after each entry; goes on until it is closed. `patience`: another
        than the client's, in seconds.

        Raises ProblemError (also when the token has run out), UnreachableError.
        """
        sequel: Sequel[FeedEntry] = FeedSequel()
        limit = self._patience if patience is None else patience
        async with aclosing(follow(self._transport, "/v1/me/events", cursor or None, sequel, patience=limit)) as items:
            async for item in items:
                yield item

    async def _call(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        repeatable: bool,
        headers: dict[str, str] | None = None,
        query: str = "",
    ) -> bytes:
        target = f"{quote(path)}?{query}" if query else quote(path)
        return await self._transport.call(
            method, target, body=body, headers=headers or {}, repeatable=repeatable, patience=self._patience
        )


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
