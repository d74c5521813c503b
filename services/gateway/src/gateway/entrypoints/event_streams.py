"""Event streams as a raw ASGI endpoint: what a token costs here is one wake-up, one message and one write."""

import asyncio
import random
import re
from typing import Final
from urllib.parse import parse_qs

import structlog
from contracts.codes import Code
from contracts.cursor import START
from contracts.ids import RUN, THREAD, InvalidIdError, check_id
from starlette.types import Receive, Scope, Send

from gateway.domain.frames import HEADERS, HEARTBEAT, end_frame, opening
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.entrypoints.connections import CONNECTION, Connection, Farewell
from gateway.entrypoints.wiring import BEGAN, PRINCIPAL, Wiring
from gateway.handlers.replay_run import check_speed, replay_run
from gateway.handlers.watch import Attachment, Place, check_place, watch_feed, watch_run, watch_thread
from gateway.handlers.watch_presence import watch_presence, with_presence

logger = structlog.get_logger()

HEARTBEAT_SECONDS: Final = 10.0
RETRY_MILLISECONDS: Final = 1000
RETRY_JITTER_MILLISECONDS: Final = 1000
ATTACH_SECONDS: Final = 15.0

_PATHS: Final = re.compile(
    r"/v1/(?:(?P<kind>threads|runs)/(?P<id>[^/]+)|(?P<me>me))/events|/v1/runs/(?P<replay>[^/]+)/replay"
)


def is_event_stream(path: str) -> bool:
    """Whether a path is served here."""
    return _PATHS.fullmatch(path) is not None


def route_of(path: str) -> str:
    """The path's template, for spans."""
    found = _PATHS.fullmatch(path)
    if found is None or found["me"]:
        return "/v1/me/events"
    if found["replay"]:
        return "/v1/runs/{run_id}/replay"
    return "/v1/threads/{thread_id}/events" if found["kind"] == "threads" else "/v1/runs/{run_id}/events"


class EventStreams:
    """All event streams of this process. `drain` sends every client elsewhere."""

    def __init__(self, wiring: Wiring, *, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._wiring: Final = wiring
        self._heartbeat: Final = heartbeat
        self._streams: set[_Stream] = set()
        self._draining = False

    @property
    def open(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def drain(self) -> None:
        """End every stream with `event: end`; new ones are refused from now on."""
        self._draining = True
        for stream in list(self._streams):
            stream.end("draining")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one event stream; raises Refusal before the first byte only."""
        if scope["method"] != "GET":
            raise Refusal(Code.METHOD_NOT_ALLOWED, "Event streams are read with GET.", headers={"allow": "GET"})
        if self._draining:
            raise Refusal(Code.UNAVAILABLE, "This gateway is stopping; connect again to reach another.")
        principal: Principal = scope[PRINCIPAL]
        if not self._wiring.streams.enter(principal.user_id):
            raise Refusal(Code.LIMIT_REACHED, "Too many event streams are open; close one first.", retry_after=5)
        try:
            place = _place_of(scope)
            async with asyncio.timeout(ATTACH_SECONDS):
                attachment = await self._attach(scope, principal, place)
            await receive()
            if attachment is None:
                await send({"type": "http.response.start", "status": 204, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
            # Read by now: a device that waits all day need not keep its token here, in memory or for somebody to find.
            scope["headers"].clear()
            given = "" if place == "latest" else str(START if place == "whole" else place)
            lifetime = principal.expires_at - self._wiring.clock()
            stream = _Stream(attachment, given, lifetime, self._heartbeat, send, Farewell(scope), scope.get(CONNECTION))
            self._streams.add(stream)
            self._greet(stream)
            seat = None
            if attachment.thread_id and attachment.viewer is not None:
                seat = self._wiring.attendance.take(
                    attachment.thread_id, principal.user_id, stream.end, since=scope[BEGAN]
                )
            try:
                await stream.serve()
            finally:
                self._streams.discard(stream)
                if seat is not None:
                    self._wiring.attendance.leave(seat)
        finally:
            self._wiring.streams.leave(principal.user_id)

    def _greet(self, stream: "_Stream") -> None:
        # The process may have begun to drain while this one attached.
        if self._draining:
            stream.end("draining")

    async def _attach(self, scope: Scope, principal: Principal, place: Place) -> Attachment | None:
        found = _PATHS.fullmatch(scope["path"])
        behind = self._wiring
        if found is None or found["me"]:
            return await watch_feed(behind.viewers, principal.user_id, place)
        try:
            if found["kind"] == "threads":
                thread_id = check_id(THREAD, found["id"])
                if _only_presence(scope):
                    present = await watch_presence(behind.conversation, principal.user_id, thread_id)
                    return with_presence(behind.presences, present)
                attachment = await watch_thread(
                    behind.conversation, behind.log, behind.viewers, principal.user_id, thread_id, place
                )
                return with_presence(behind.presences, attachment)
            run_id = check_id(RUN, found["replay"] or found["id"])
        except InvalidIdError as error:
            thread = found["kind"] == "threads"
            code = Code.THREAD_NOT_FOUND if thread else Code.RUN_NOT_FOUND
            raise Refusal(code, f"There is no such {'thread' if thread else 'run'}.") from error
        if found["replay"]:
            speed = check_speed(parse_qs(scope["query_string"].decode("latin-1")).get("speed", [""])[0])
            return await replay_run(behind.conversation, behind.log, principal.user_id, run_id, speed=speed)
        return await watch_run(behind.conversation, behind.log, behind.viewers, principal.user_id, run_id, place)


class _Stream:
    """One open stream. `end` may be called by anybody."""

    __slots__ = (
        "_beat_due",
        "_connection",
        "_expires_at",
        "_farewell",
        "_given",
        "_gone",
        "_heartbeat",
        "_lifetime",
        "_prefix",
        "_reason",
        "_send",
        "_timer",
        "_viewer",
        "_wrote",
    )

    def __init__(
        self,
        attachment: Attachment,
        given: str,
        lifetime: float,
        heartbeat: float,
        send: Send,
        farewell: Farewell,
        connection: Connection | None,
    ) -> None:
        self._prefix = attachment.prefix
        self._viewer = attachment.viewer
        self._given = given
        self._lifetime = lifetime
        self._expires_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._heartbeat = heartbeat
        self._send = send
        self._farewell = farewell
        self._connection = connection
        self._gone = False
        self._reason = ""
        self._beat_due = False
        self._wrote = False

    def end(self, reason: str) -> None:
        """Tell the client to come back, and close; whoever does not read that is cut off."""
        self._reason = self._reason or reason
        self._farewell.begin()
        if self._viewer is not None:
            self._viewer.wake()

    async def serve(self) -> None:
        """Until the end of what is watched, of the token, of this process, or until the client leaves."""
        loop = asyncio.get_running_loop()
        self._expires_at = loop.time() + self._lifetime
        self._set_timer(loop)
        try:
            await self._open()
            if self._viewer is None:
                return
            if self._connection is not None:
                self._connection.when_lost(self._leave)
            await self._pump()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._farewell.said()
            if self._connection is not None:
                self._connection.when_lost(None)
            if self._viewer is not None:
                await self._viewer.close()

    async def _open(self) -> None:
        # A jitter for each connection: else all clients of a dead gateway come back in the same moment.
        retry = RETRY_MILLISECONDS + int(random.random() * RETRY_JITTER_MILLISECONDS)  # noqa: S311 - spreads, hides nothing
        first = opening(retry) + self._prefix
        self._prefix = b""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        await self._send({"type": "http.response.body", "body": first, "more_body": self._viewer is not None})

    async def _pump(self) -> None:
        viewer, send = self._viewer, self._send
        if viewer is None:
            return
        while not self._has_left():
            piece = b"" if self._reason else await viewer.take()
            if self._has_left():
                return
            if piece:
                self._wrote = True
                await send({"type": "http.response.body", "body": piece, "more_body": not viewer.ended})
                if viewer.ended:
                    return
            elif self._reason:
                last = end_frame(self._reason, viewer.cursor or self._given)
                await send({"type": "http.response.body", "body": last, "more_body": False})
                return
            elif self._beat_due:
                await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
            self._beat_due = False

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        # One for both: a timer is most of a KiB, and there are as many as there are viewers.
        wait = min(self._heartbeat, self._expires_at - loop.time())
        self._timer = loop.call_later(max(wait, 0), self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop.time() >= self._expires_at:
            self._timer = None
            self.end("token_expired")
            return
        if not self._wrote and self._viewer is not None:
            self._beat_due = True
            self._viewer.wake()
        self._wrote = False
        self._set_timer(loop)

    def _has_left(self) -> bool:
        return self._gone

    def _leave(self) -> None:
        self._gone = True
        if self._viewer is not None:
            self._viewer.wake()


def _only_presence(scope: Scope) -> bool:
    only: str = parse_qs(scope["query_string"].decode("latin-1")).get("only", [""])[0]
    if only not in ("", "presence"):
        raise Refusal(Code.QUERY_INVALID, f"`only` is {only[:40]!r}; it may be `presence`.")
    return only == "presence"


def _place_of(scope: Scope) -> Place:
    header = next((value for name, value in scope["headers"] if name == b"last-event-id"), b"")
    query = parse_qs(scope["query_string"].decode("latin-1")).get("cursor", [""])[0]
    return check_place(header.decode("latin-1").strip() or None, query or None)
