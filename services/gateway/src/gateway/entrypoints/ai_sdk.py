"""`/api/chat`: the Vercel AI SDK's transports, unmodified.

`POST /api/chat` sends and streams; `GET /api/chat/{chat}/stream` resumes, or answers 204; with `startIndex`, as WorkflowChatTransport
asks, it replays exactly, from the front or (negative) from the end; `POST /api/chat/{chat}/stop` stops the run. A chat is named
by the client's id, by one of our thread ids, or (where a run is meant) by what `x-workflow-run-id` said.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

import msgspec
from contracts.codes import Code
from contracts.commands import DecideApproval
from contracts.times import parse_rfc3339
from starlette.types import Send

from gateway.domain import dismissals
from gateway.domain.chat_ids import run_of_name, stored_message_of, thread_of_chat
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.frame import DONE, FramePlace
from gateway.domain.records import ENDED, Message, Run
from gateway.entrypoints.doors import Request
from gateway.entrypoints.protocol_answers import answer_wait
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.cancel_run import cancel_run
from gateway.handlers.send_from_client import Earlier, FromClient, send_from_client

HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
PROTOCOL: Final = "ai_sdk"


class UiApproval(msgspec.Struct):
    """What a person said about a tool call. `id` is the wait's, as the request for it named it."""

    id: str
    approved: bool | None = None
    reason: str | None = None


class UiPart(msgspec.Struct):
    """A part of a UI message; only texts and answered approvals are read."""

    type: str
    text: str = ""
    state: str = ""
    approval: UiApproval | None = None


class UiMessage(msgspec.Struct):
    """A UI message as the client has it."""

    role: str
    id: str = ""
    parts: list[UiPart] = []

    @property
    def text(self) -> str:
        """Its text parts, joined."""
        return "".join(part.text for part in self.parts if part.type == "text")


class ChatRequest(msgspec.Struct, rename="camel"):
    """The body of a POST. WorkflowChatTransport sends `messages` alone; what else a page adds is its own."""

    messages: list[UiMessage] = []
    message: UiMessage | None = None
    id: str = ""
    trigger: str = "submit-message"
    message_id: str | None = None
    model: str = ""


_decoder: Final = msgspec.json.Decoder(ChatRequest)


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
        asked = _read(request.body)
        if answered := _answered(asked):
            await self._answer(request, asked.id, answered)
            return
        wanted = _wanted(asked, request.principal)
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
                before = await feeds.counted(run, message, PROTOCOL, AiSdkMapping, FramePlace())
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
            await self._stream(request, run, message, place)
        finally:
            self._streams.leave(request.principal)

    async def _stream(self, request: Request, run: Run, message: Message | None, place: FramePlace | None) -> None:
        headers = HEADERS | {"x-run-id": run.id, "x-workflow-run-id": run.id}
        feeds = self._doors.feeds
        async with request.timeout(ATTACH_SECONDS):
            if place is None:
                viewer = await feeds.resumed(run, message, PROTOCOL, AiSdkMapping)
                if viewer.state.is_terminal and not self._owed(run):
                    await viewer.close()
                    await answer(request.send, 204, b"", "")
                    return
            else:
                viewer = await feeds.counted(run, message, PROTOCOL, AiSdkMapping, place)
                if place.segment:
                    headers["x-workflow-run-id"] = f"{run.id}.{place.segment}"
                if place.skip:
                    # What a client that asked for the end counts from.
                    headers["x-workflow-stream-tail-index"] = str(viewer.total - 1)
        whole = await self._streams.serve(
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
        self._doors.deliveries.note(run.id, whole=whole, now=self._wiring.clock())

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


def _read(body: bytes) -> ChatRequest:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Refusal(Code.BODY_INVALID, f"The body is not a chat request: {error}.") from error


def _answered(asked: ChatRequest) -> list[UiApproval]:
    """The approvals that the last message, the assistant's, has answers to."""
    last = asked.message or (asked.messages[-1] if asked.messages else None)
    if last is None or last.role != "assistant":
        return []
    answered = [part.approval for part in last.parts if part.state == "approval-responded"]
    return [approval for approval in answered if approval is not None and approval.approved is not None]


def _wanted(asked: ChatRequest, principal: Principal) -> FromClient:
    messages: Sequence[UiMessage] = [*asked.messages, *([asked.message] if asked.message is not None else [])]
    if not messages:
        raise Refusal(Code.MESSAGE_EMPTY, "The request has no messages.")
    last = messages[-1]
    if asked.trigger not in ("submit-message", "regenerate-message"):
        raise Refusal(Code.BODY_INVALID, f"The trigger {asked.trigger[:40]!r} is not known.")
    if last.role != "user":
        raise Refusal(
            Code.BODY_INVALID,
            "The last message is not a user's and answers no approval. Other answers go to the run: POST /v1/runs/{id}/input.",
        )
    if odd := next((part.type for part in last.parts if part.type != "text"), ""):
        raise Refusal(Code.BODY_INVALID, f"Parts of type {odd[:40]!r} are not accepted yet; send text.")
    chat_id = asked.id or (f"first:{messages[0].id}" if messages[0].id else "")
    if not chat_id:
        raise Refusal(Code.BODY_INVALID, "The request names no chat: neither `id` nor an id of its first message.")
    regenerated = asked.trigger == "regenerate-message"
    key = f"{asked.trigger}:{last.id}:{asked.message_id or ''}"
    return FromClient(
        thread_id=thread_of_chat(principal.user_id, PROTOCOL, chat_id),
        content=last.text,
        earlier=[_earlier(message) for message in messages[:-1]],
        # An edited message is sent again under its own id.
        replaces=regenerated or bool(asked.message_id),
        model=asked.model,
        key=key if last.id and (asked.message_id or not regenerated) else "",
        roles=(principal.role,),
    )


def _earlier(message: UiMessage) -> Earlier:
    role = message.role if message.role in ("system", "user", "assistant") else "user"
    return Earlier(role, message.text, stored_message_of(message.id) if role == "assistant" else "")


def _index(text: str) -> int:
    try:
        return int(text or "0")
    except ValueError:
        raise Refusal(Code.QUERY_INVALID, f"startIndex is a whole number, not {text[:40]!r}.") from None
