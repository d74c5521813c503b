"""`/api/chat`: the Vercel AI SDK's transports, unmodified.

`POST /api/chat` sends and streams; `GET /api/chat/{chat}/stream` resumes, or answers 204; with `startIndex`, as WorkflowChatTransport
asks, it replays exactly, from the front or (negative) from the end; `POST /api/chat/{chat}/stop` stops the run. A chat is named
by the client's id, by one of our thread ids, or (where a run is meant) by what `x-workflow-run-id` said.
"""

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from contracts.client_tools import is_results
from contracts.codes import Code
from contracts.commands import DecideApproval
from contracts.parts import Part
from contracts.times import parse_rfc3339
from starlette.types import Send

from gateway.domain import dismissals
from gateway.domain.chat_ids import run_of_name, thread_of_chat
from gateway.domain.problems import Refusal
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.frame import DONE, FramePlace
from gateway.domain.records import ENDED, Message, Run
from gateway.domain.stored_log import parts_of
from gateway.domain.tool_turns import with_results
from gateway.entrypoints.ai_sdk_input import (
    UiApproval,
    answered_approvals,
    read_chat,
)
from gateway.entrypoints.ai_sdk_turn import PROTOCOL, continued, turn_of
from gateway.entrypoints.doors import Request
from gateway.entrypoints.protocol_answers import answer_wait
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.cancel_run import cancel_run
from gateway.handlers.send_from_client import send_from_client

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
NEWEST: Final = 200
"""Messages among which the beginning of a message is looked for that a run goes on in."""


class AiSdkDoor:
    """The routes of this door."""

    prefix: Final = "/api/chat"

    def __init__(self, wiring: Wiring, doors: Doors, streams: ProtocolStreams) -> None:
        self._wiring: Final = wiring
        self._doors: Final = doors
        self._streams: Final = streams

    def route_of(self, path: str) -> str:
        """The template of a path, for spans."""
        if path == self.prefix:
            return path
        return self.prefix + "/{chat_id}/" + path.rpartition("/")[2] if path.count("/") == 4 else ""

    async def refuse(self, send: Send, refusal: Refusal) -> None:
        """Whatever the body says is shown to the person."""
        await answer(send, refusal.status, refusal.detail.encode(), "text/plain; charset=utf-8", refusal.headers)

    async def serve(self, request: Request) -> None:
        """Answer one request; raises Refusal before the first byte only."""
        rest = request.path.removeprefix(self.prefix)
        if rest in ("", "/"):
            request.allow("POST")
            await self._send(request)
            return
        _, chat_id, verb, *more = [*rest.split("/"), "", ""]
        if not chat_id or verb not in ("stream", "stop") or any(more):
            raise Refusal(Code.NOT_FOUND, "There is nothing at this path.")
        if verb == "stream":
            request.allow("GET")
            await self._resume(request, chat_id)
        else:
            request.allow("POST")
            await self._stop(request, chat_id)

    async def _send(self, request: Request) -> None:
        asked = read_chat(request.body)
        if answered := answered_approvals(asked):
            await self._answer(request, asked.id, answered)
            return
        wanted = await turn_of(self._wiring, self._doors, request.principal, asked)
        request.take_message()
        wanted = await request.with_path(wanted)
        self._streams.enter(request.principal)
        try:
            wiring = self._wiring
            accepted = await send_from_client(
                wiring.conversation, self._doors.threads, wiring.models, request.principal.user_id, wanted
            )
            run, message = await wiring.conversation.get_run(request.principal.user_id, accepted.run_id)
            await self._stream(request, run, message, FramePlace())
        finally:
            self._streams.leave(request.principal)

    async def _answer(self, request: Request, chat_id: str, answered: list[UiApproval]) -> None:
        """Decide what the run waits for, and stream what follows: the same message goes on in the client."""
        user_id = request.principal.user_id
        found = await self._last_run(user_id, chat_id)
        if found is None:
            raise Refusal(Code.RUN_NOT_WAITING, "Nothing waits for an approval in this chat.")
        run, message = found
        self._streams.enter(request.principal)
        try:
            feeds = self._doors.feeds
            async with request.timeout(ATTACH_SECONDS):
                before = await feeds.counted(run, message, PROTOCOL, _mapping_of(run), FramePlace())
            try:
                mapping = before.mapping
                waits = mapping.answered_in if isinstance(mapping, AiSdkMapping) else {}
                asked = [one for one in answered if one.id in waits]
                if not asked:
                    raise Refusal(Code.RUN_NOT_WAITING, "The run does not wait for this approval.")
                for one in asked:
                    decided = DecideApproval(
                        wait_id=one.id, approved=bool(one.approved), note=one.reason or "", by=user_id, at=""
                    )
                    await answer_wait(self._wiring, user_id, run, decided)
                segment = max(waits[one.id] for one in asked)
                run, message = await self._wiring.conversation.get_run(user_id, run.id)
                await self._stream(request, run, message, FramePlace(segment))
            finally:
                await before.close()
        finally:
            self._streams.leave(request.principal)

    async def _resume(self, request: Request, name: str) -> None:
        query = parse_qs(request.query)
        start = query.get("startIndex", [""])[0]
        user_id = request.principal.user_id
        named = run_of_name(name)
        found: tuple[Run, Message | None] | None
        if named is not None:
            found = await self._wiring.conversation.get_run(user_id, named[0])
        else:
            found = await self._last_run(user_id, name)
        if found is None:
            await answer(request.send, 204, b"", "")
            return
        run, message = found
        place = None
        if start or named is not None:
            place = FramePlace(0 if named is None else named[1], _index(start))
        self._streams.enter(request.principal)
        try:
            # Who names the run is in the middle of its POST; who names the chat may have nothing of the message.
            await self._stream(request, run, message, place, whole=named is None)
        finally:
            self._streams.leave(request.principal)

    async def _stream(
        self, request: Request, run: Run, message: Message | None, place: FramePlace | None, *, whole: bool = False
    ) -> None:
        headers = HEADERS | {"x-run-id": run.id, "x-workflow-run-id": run.id}
        feeds = self._doors.feeds
        async with request.timeout(ATTACH_SECONDS):
            protocol, make = await self._protocol(request.principal.user_id, run, whole=whole)
            if place is None:
                viewer = await feeds.resumed(run, message, protocol, make)
                if viewer.state.is_terminal and not self._owed(run):
                    await viewer.close()
                    await answer(request.send, 204, b"", "")
                    return
            else:
                viewer = await feeds.counted(run, message, protocol, make, place)
                if place.segment:
                    headers["x-workflow-run-id"] = f"{run.id}.{place.segment}"
                if place.skip:
                    # What a client that asked for the end counts from.
                    headers["x-workflow-stream-tail-index"] = str(viewer.total - 1)
        delivered = await self._streams.serve(
            request.scope,
            request.receive,
            request.send,
            viewer,
            request.principal,
            end=DONE,
            headers=headers,
            resumable=True,
            dismissed=dismissals.ai_sdk,
        )
        self._doors.deliveries.note(run.id, whole=delivered, now=self._wiring.clock())

    async def _protocol(self, user_id: str, run: Run, *, whole: bool) -> tuple[Hashable, Callable[[], AiSdkMapping]]:
        """How the run is shown, and its name among the protocols. `whole`: with the beginning of the message that it goes on in."""
        continues = continued(run)
        if not continues or not whole:
            return PROTOCOL, _mapping_of(run)
        before = await self._before(user_id, run)
        return (PROTOCOL, "whole"), lambda: AiSdkMapping(continues, before)

    async def _before(self, user_id: str, run: Run) -> list[list[Part]]:
        """The answers that a run goes on from without a word of the user's between, oldest first, with the outputs that came."""
        newest = await self._doors.threads.last_messages(user_id, run.thread_id, limit=NEWEST)
        known = {message.id: message for message in newest}
        answers: list[list[Part]] = []
        results = known.get(run.question_id)
        while results is not None and is_results(results.role, told := parts_of(results)):
            answer = known.get(results.parent_message_id)
            if answer is None:
                break
            answers.append(with_results(parts_of(answer), told))
            results = known.get(answer.parent_message_id)
        return answers[::-1]

    async def _stop(self, request: Request, name: str) -> None:
        user_id = request.principal.user_id
        named = run_of_name(name)
        if named is not None:
            run_id = named[0]
        else:
            found = await self._last_run(user_id, name)
            if found is None or found[1] is not None:
                await answer(request.send, 204, b"", "")
                return
            run_id = found[0].id
        try:
            await cancel_run(self._wiring.conversation, self._wiring.log, user_id, run_id, now=datetime.now(UTC))
        except Refusal as refusal:
            if refusal.code is not Code.RUN_FINISHED:
                raise
        await answer(request.send, 202, b'{"status":"cancelling"}', "application/json")

    async def _last_run(self, user_id: str, chat_id: str) -> tuple[Run, Message | None] | None:
        """The newest run of a chat; None where there is none, or no such chat."""
        thread_id = thread_of_chat(user_id, PROTOCOL, chat_id)
        try:
            messages = await self._doors.threads.last_messages(user_id, thread_id, limit=2)
        except Refusal as refusal:
            if refusal.code is Code.THREAD_NOT_FOUND:
                return None
            raise
        run_id = next((message.run_id for message in reversed(messages) if message.run_id), "")
        return await self._wiring.conversation.get_run(user_id, run_id) if run_id else None

    def _owed(self, run: Run) -> bool:
        now = self._wiring.clock()
        ended = parse_rfc3339(run.ended_at).timestamp() if run.ended_at and run.status in ENDED else now
        return self._doors.deliveries.is_owed(run.id, ended_seconds_ago=now - ended, now=now)


def _mapping_of(run: Run) -> Callable[[], AiSdkMapping]:
    continues = continued(run)
    return lambda: AiSdkMapping(continues)


def _index(text: str) -> int:
    try:
        return int(text or "0")
    except ValueError:
        raise Refusal(Code.QUERY_INVALID, f"startIndex is a whole number, not {text[:40]!r}.") from None
