"""What the doors of client protocols share: bodies, answers, and streams that end with their protocol's own last frame or not
at all.

A stream that this process ends early (it stops, the token expires) is broken off without an end of the body, so that no client
takes the half for the whole; all of these protocols can be resumed or say that they failed.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from contracts.codes import Code
from starlette.types import Receive, Scope, Send

from gateway.domain.dismissals import dismissal
from gateway.domain.frames import HEADERS, HEARTBEAT
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.entrypoints.connections import Farewell
from gateway.entrypoints.wiring import BEGAN, Wiring
from gateway.ports import FrameViewer

HEARTBEAT_SECONDS: Final = 10.0
ATTACH_SECONDS: Final = 15.0
STREAMING: Final = "everthread.streaming"
"""Set in the scope once a stream begins: the request's span is how long it took to attach."""


async def answer(
    send: Send, status: int, body: bytes, media_type: str, headers: Mapping[str, str] | None = None
) -> None:
    """A whole response."""
    named = {"content-type": media_type, "content-length": str(len(body)), **(headers or {})}
    if status == 204:
        named = dict(headers or {})
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
    """A JSON response."""
    await answer(send, status, msgspec.json.encode(value), "application/json", headers)


class ProtocolStreams:
    """The open streams of all client protocols. `drain` breaks them off, and refuses new ones."""

    def __init__(self, wiring: Wiring, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._wiring: Final = wiring
        self._heartbeat: Final = heartbeat
        self._streams: set[_Stream] = set()
        self._draining = False
        self.drained: Final = asyncio.Event()
        """Set once this process stops: whoever holds an answer back sends it now."""

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def drain(self) -> None:
        """Break off what can be resumed; the rest goes on as long as the process does."""
        self._draining = True
        self.drained.set()
        for stream in list(self._streams):
            stream.cut(unless_lost=True)

    def enter(self, principal: Principal) -> None:
        """Count one more stream of a user, before anything is started for it; raises Refusal. Pair with `leave`."""
        if self._draining:
            raise Refusal(Code.UNAVAILABLE, "This gateway is stopping; connect again to reach another.")
        if not self._wiring.streams.enter(principal.user_id):
            raise Refusal(Code.LIMIT_REACHED, "Too many event streams are open; close one first.", retry_after=5)

    def leave(self, principal: Principal) -> None:
        """One less."""
        self._wiring.streams.leave(principal.user_id)

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        viewer: FrameViewer,
        principal: Principal,
        *,
        end: bytes,
        headers: Mapping[str, str],
        resumable: bool,
        dismissed: Callable[[Refusal], bytes] | None = None,
        ends_early: bool = False,
    ) -> bool:
        """Serve a response up to its last frame and `end`; False where it was broken off or the client left. `dismissed` gives
        the last frame for a viewer who may no longer watch; without it, such a stream is broken off. With `ends_early` no stream
        is broken off but ended: for a protocol whose end is a frame, so that clients come back from the end of a body."""
        scope[STREAMING] = True
        farewell = Farewell(scope)
        stream = _Stream(viewer, self._heartbeat, send, end, resumable, farewell, ends_early=ends_early)
        self._streams.add(stream)
        loop = asyncio.get_running_loop()
        lifetime = principal.expires_at - self._wiring.clock()
        expiry = loop.call_later(max(lifetime, 0), stream.cut)
        if self._draining:
            stream.cut(unless_lost=True)

        def dismiss(reason: str) -> None:
            stream.cut(last=b"" if dismissed is None else dismissed(dismissal(reason)))

        attendance = self._wiring.attendance
        seat = attendance.take(viewer.state.thread_id, principal.user_id, dismiss, since=scope[BEGAN])
        try:
            return await stream.serve(receive, headers)
        finally:
            attendance.leave(seat)
            expiry.cancel()
            farewell.said()
            self._streams.discard(stream)
            await viewer.close()

    async def wait_for_end(self, scope: Scope, receive: Receive, viewer: FrameViewer, principal: Principal) -> bool:
        """Wait until the response is over; False where the client left before. The run goes on either way. Raises Refusal
        where the caller may no longer see it."""
        gone = asyncio.create_task(wait_for_leaving(receive), name="watch for disconnect")
        gone.add_done_callback(lambda _: viewer.wake())
        attendance = self._wiring.attendance
        seat = attendance.take(viewer.state.thread_id, principal.user_id, lambda _: viewer.wake(), since=scope[BEGAN])
        try:
            while not viewer.ended and not seat.ended:
                await viewer.take()
                if gone.done():
                    return False
            if seat.ended:
                raise dismissal(seat.ended)
            return True
        finally:
            attendance.leave(seat)
            gone.cancel()


class _Stream:
    __slots__ = (
        "_beat_due",
        "_cut",
        "_end",
        "_ends_early",
        "_farewell",
        "_heartbeat",
        "_last",
        "_resumable",
        "_send",
        "_viewer",
        "_wrote",
    )

    def __init__(
        self,
        viewer: FrameViewer,
        heartbeat: float,
        send: Send,
        end: bytes,
        resumable: bool,
        farewell: Farewell,
        *,
        ends_early: bool,
    ) -> None:
        self._farewell = farewell
        self._ends_early = ends_early
        self._viewer, self._heartbeat, self._send, self._end, self._resumable = viewer, heartbeat, send, end, resumable
        self._cut = False
        self._last = b""
        self._beat_due = False
        self._wrote = False

    def cut(self, *, unless_lost: bool = False, last: bytes = b"") -> None:
        """Break the stream off, or end it with a last frame; with `unless_lost` only if its client can come back for the rest.
        Whoever does not read up to there is cut off."""
        if unless_lost and not self._resumable:
            return
        self._cut = True
        self._last = last
        self._farewell.begin()
        self._viewer.wake()

    async def serve(self, receive: Receive, headers: Mapping[str, str]) -> bool:
        extra = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        given = {name for name, _ in extra}
        usual = [header for header in HEADERS if header[0] not in given]
        await self._send({"type": "http.response.start", "status": 200, "headers": [*usual, *extra]})
        await self._send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
        gone = asyncio.create_task(wait_for_leaving(receive), name="watch for disconnect")
        gone.add_done_callback(lambda _: self._viewer.wake())
        beats = asyncio.create_task(self._beats(), name="heartbeats")
        try:
            return await self._pump(gone)
        finally:
            beats.cancel()
            gone.cancel()

    async def _pump(self, gone: "asyncio.Task[None]") -> bool:
        viewer, send = self._viewer, self._send
        while not self._cut:
            if viewer.ended:
                await send({"type": "http.response.body", "body": self._end, "more_body": False})
                return True
            piece = await viewer.take()
            if gone.done():
                return False
            if piece:
                self._wrote = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            elif self._beat_due:
                await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
            self._beat_due = False
        if self._last or self._ends_early:
            await send({"type": "http.response.body", "body": self._last, "more_body": False})
        return False

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            if not self._wrote:
                self._beat_due = True
                self._viewer.wake()
            self._wrote = False


async def wait_for_leaving(receive: Receive) -> None:
    """Until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
