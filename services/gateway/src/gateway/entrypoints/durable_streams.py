"""`/streams/runs/{run}`: a run's log for clients of durable-streams. Read side only: runs are written by workers.

`GET ?offset=` catches up; `live=long-poll` waits for what is new; `live=sse` stays; `HEAD` says where the stream ends.
"""

import asyncio
import re
from typing import Final

from contracts.codes import Code
from contracts.ids import RUN, InvalidIdError, check_id
from starlette.types import Send

from gateway.domain.dismissals import dismissal
from gateway.domain.problems import Refusal
from gateway.domain.protocols import durable_stream as ds
from gateway.domain.protocols.frame import FramePlace
from gateway.domain.records import Message, Run
from gateway.entrypoints.doors import Request
from gateway.entrypoints.durable_reading import Asked, ControlledViewer, Reading, is_stored
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer, answer_json, wait_for_leaving
from gateway.entrypoints.wiring import BEGAN, Doors, Wiring
from gateway.ports import FrameViewer

PROTOCOL: Final = "durable_stream"
LONG_POLL_SECONDS: Final = 20.0
SAFE: Final = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin"}
_RUN: Final = re.compile(r"/runs/([^/]+)")


class DurableStreamsDoor:
    """The routes of this door."""

    prefix: Final = "/streams"

    def __init__(self, wiring: Wiring, doors: Doors, streams: ProtocolStreams, *, long_poll: float) -> None:
        self._wiring: Final = wiring
        self._doors: Final = doors
        self._streams: Final = streams
        self._long_poll: Final = long_poll

    def route_of(self, path: str) -> str:
        """The template of a path, for spans."""
        return self.prefix + "/runs/{run_id}" if _RUN.fullmatch(path.removeprefix(self.prefix)) else ""

    async def refuse(self, send: Send, refusal: Refusal) -> None:
        """The client shows status and body."""
        body = {"code": refusal.code.value, "message": refusal.detail}
        await answer_json(send, refusal.status, body, refusal.headers | SAFE)

    async def serve(self, request: Request) -> None:
        """Answer one request; raises Refusal before the first byte only."""
        found = _RUN.fullmatch(request.path.removeprefix(self.prefix))
        if found is None:
            raise Refusal(Code.NOT_FOUND, "There is nothing at this path; a stream is /streams/runs/{run_id}.")
        request.allow("GET", "HEAD")
        try:
            run_id = check_id(RUN, found[1])
        except InvalidIdError as error:
            raise Refusal(Code.RUN_NOT_FOUND, "There is no such run.") from error
        run, message = await self._wiring.conversation.get_run(request.principal.user_id, run_id)
        asked = Asked(request.method, request.query)
        self._streams.enter(request.principal)
        try:
            async with request.timeout(ATTACH_SECONDS):
                viewer, begin = await self._attach(run, message, asked.offset)
            reading = Reading(viewer, run, asked, self._wiring)
            if request.method == "HEAD":
                await self._head(request, reading)
            elif asked.live == "sse":
                await self._sse(request, reading)
            else:
                await self._answer(request, reading, begin)
        finally:
            self._streams.leave(request.principal)

    async def _attach(
        self, run: Run, message: Message | None, offset: ds.Offset | None
    ) -> tuple[FrameViewer, ds.Offset]:
        """A viewer at an offset, or at the end of what there is where it is None. Close it. Raises Refusal."""
        skip = 0 if offset is None else offset.messages
        viewer = await self._view(run, message, skip)
        stored = is_stored(viewer, run)
        if offset is None:
            skip = viewer.total
            await viewer.close()
            viewer = await self._view(run, message, skip)
        elif skip and offset.stored != stored and not (stored and run.final_sequence and skip >= run.final_sequence):
            await viewer.close()
            raise Refusal(
                Code.CURSOR_INVALID,
                "The log that this offset counts in has expired; read again from -1 to get what is stored.",
                status=410,
            )
        return viewer, ds.Offset(skip, stored)

    async def _view(self, run: Run, message: Message | None, skip: int) -> FrameViewer:
        return await self._doors.feeds.counted(run, message, PROTOCOL, ds.DurableStreamMapping, FramePlace(0, skip))

    async def _head(self, request: Request, reading: Reading) -> None:
        await reading.close()
        headers = reading.end().headers() | SAFE | {"cache-control": "no-store"}
        await answer(request.send, 200, b"", ds.CONTENT_TYPE, headers)

    async def _answer(self, request: Request, reading: Reading, begin: ds.Offset) -> None:
        """A catch-up read; a long poll where nothing is there to be caught up with."""
        try:
            body = await reading.catch_up()
            if not body and reading.waits:
                body = await self._wait(request, reading)
        finally:
            await reading.close()
        place = reading.place()
        live = reading.asked.live == "long-poll"
        headers = place.headers(cursor=reading.cursor() if live else None) | SAFE
        if live and not body:
            await answer(request.send, 204, b"", "", headers | {"cache-control": "no-store"})
            return
        tag = ds.etag(reading.run.id, begin, place)
        headers |= {"etag": tag, "cache-control": "no-store" if live or reading.asked.offset is None else "no-cache"}
        if not live and request.headers.get("if-none-match", "") == tag:
            await answer(request.send, 304, b"", ds.CONTENT_TYPE, headers)
            return
        await answer(request.send, 200, ds.array(body), ds.CONTENT_TYPE, headers)

    async def _wait(self, request: Request, reading: Reading) -> bytes:
        """What comes next; empty where nothing came in time, the client has left or this process stops. Raises Refusal where the
        caller may no longer see it."""
        gone = asyncio.Event()
        attendance = self._wiring.attendance
        seat = attendance.take(
            reading.run.thread_id,
            request.principal.user_id,
            lambda _: gone.set(),
            since=request.scope[BEGAN],
        )
        waited = asyncio.create_task(reading.next(), name="long poll")
        others = [
            asyncio.create_task(_set(gone), name="watch for dismissal"),
            asyncio.create_task(wait_for_leaving(request.receive), name="watch for disconnect"),
            asyncio.create_task(_set(self._streams.drained), name="watch for drain"),
        ]
        try:
            await asyncio.wait([waited, *others], timeout=self._long_poll, return_when=asyncio.FIRST_COMPLETED)
            if seat.ended:
                raise dismissal(seat.ended)
            return waited.result() if waited.done() else b""
        finally:
            attendance.leave(seat)
            for task in (waited, *others):
                task.cancel()
            await asyncio.wait([waited, *others])

    async def _sse(self, request: Request, reading: Reading) -> None:
        headers = SAFE | {"content-type": "text/event-stream", "x-run-id": reading.run.id}
        await self._streams.serve(
            request.scope,
            request.receive,
            request.send,
            ControlledViewer(reading),
            request.principal,
            end=b"",
            headers=headers,
            resumable=True,
            ends_early=True,
        )


async def _set(event: asyncio.Event) -> None:
    await event.wait()
