"""`/agui`: AG-UI over HTTP, with the resume that its protocol does not have yet.

`POST /agui/run` takes RunAgentInput and streams; `GET /agui/runs/{run}/events` goes on with a run after a cut or shows one that
ended: RUN_STARTED, MESSAGES_SNAPSHOT, open items again, then the tail. `{run}` is the id in `x-run-id` and in
RUN_STARTED's metadata.
"""

import re
from typing import Any, Final

import msgspec
from contracts.codes import Code
from contracts.commands import CancelRun, DecideApproval, ProvideInput
from contracts.ids import RUN, InvalidIdError, check_id
from starlette.types import Send

from gateway.domain import dismissals
from gateway.domain.chat_ids import stored_message_of, thread_of_chat
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.protocols.agui import AguiMapping
from gateway.domain.protocols.agui_messages import run_messages
from gateway.domain.protocols.frame import FramePlace
from gateway.domain.records import Message, Run
from gateway.domain.stored_log import parts_of
from gateway.entrypoints.doors import Request
from gateway.entrypoints.protocol_answers import answer_wait
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer_json
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.send_from_client import Earlier, FromClient, send_from_client
from gateway.ports import FrameViewer

PROTOCOL: Final = "agui"
KEPT_CHARACTERS: Final = 2500
_EVENTS: Final = re.compile(r"/runs/([^/]+)/events")


class AguiMessage(msgspec.Struct, rename="camel"):
    """A message as the client has it. Content of several parts is read as its texts."""

    id: str
    role: str
    content: Any = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, str):
            return self.content
        if not isinstance(self.content, list):
            return ""
        return "".join(str(part.get("text", "")) for part in self.content if isinstance(part, dict))


class ResumeEntry(msgspec.Struct, rename="camel"):
    """What became of an interrupt: an approval's payload is `{"approved": …, "reason": …}`, an input's whatever was asked for."""

    interrupt_id: str
    status: str = "resolved"
    payload: Any = None


class RunAgentInput(msgspec.Struct, rename="camel"):
    """A request to run an agent. `state` and `forwardedProps` are the client's own; nothing here reads them."""

    thread_id: str
    run_id: str
    messages: list[msgspec.Raw]
    tools: list[Any] = []
    context: list[Any] = []
    resume: list[ResumeEntry] = []


class _Kept(msgspec.Struct):
    """What is kept with the run (`Run.client`): how the client calls it, and the messages that are not the assistant's. A
    snapshot must name them as the client does, or it would put them behind what the client has."""

    agui_thread: str
    agui_run: str
    agui_ids: list[str] = []


_decoder: Final = msgspec.json.Decoder(RunAgentInput)
_message_decoder: Final = msgspec.json.Decoder(AguiMessage)


class AguiDoor:
    """The routes of this door."""

    prefix: Final = "/agui"

    def __init__(self, wiring: Wiring, doors: Doors, streams: ProtocolStreams) -> None:
        self._wiring: Final = wiring
        self._doors: Final = doors
        self._streams: Final = streams

    def route_of(self, path: str) -> str:
        """The template of a path, for spans."""
        rest = path.removeprefix(self.prefix)
        if rest == "/run":
            return path
        return self.prefix + "/runs/{run_id}/events" if _EVENTS.fullmatch(rest) else ""

    async def refuse(self, send: Send, refusal: Refusal) -> None:
        """The client shows status and body."""
        await answer_json(
            send, refusal.status, {"code": refusal.code.value, "message": refusal.detail}, refusal.headers
        )

    async def serve(self, request: Request) -> None:
        """Answer one request; raises Refusal before the first byte only."""
        rest = request.path.removeprefix(self.prefix)
        found = _EVENTS.fullmatch(rest)
        if rest == "/run":
            request.allow("POST")
            await self._run(request)
        elif found is not None:
            request.allow("GET")
            await self._events(request, found[1])
        else:
            raise Refusal(Code.NOT_FOUND, "There is nothing at this path.")

    async def _run(self, request: Request) -> None:
        asked = _read(request.body)
        messages = _messages(asked)
        if asked.resume:
            await self._answer(request, asked)
            return
        wanted = _wanted(asked, messages, request.principal)
        history = [msgspec.json.decode(message) for message in asked.messages]
        request.take_message()
        wanted = await request.with_path(wanted)
        self._streams.enter(request.principal)
        try:
            wiring, user_id = self._wiring, request.principal.user_id
            accepted = await send_from_client(wiring.conversation, self._doors.threads, wiring.models, user_id, wanted)
            run, stored = await wiring.conversation.get_run(user_id, accepted.run_id)

            def make() -> AguiMapping:
                return AguiMapping(thread_id=asked.thread_id, run_id=asked.run_id, history=history)

            async with request.timeout(ATTACH_SECONDS):
                viewer = await self._doors.feeds.counted(
                    run, stored, (PROTOCOL, asked.run_id, request.body), make, FramePlace()
                )
            await self._stream(request, run, viewer)
        finally:
            self._streams.leave(request.principal)

    async def _answer(self, request: Request, asked: RunAgentInput) -> None:
        """Answer the interrupts of the thread's last run; its next segment is this AG-UI run."""
        _check(asked)
        user_id = request.principal.user_id
        thread_id = thread_of_chat(user_id, PROTOCOL, asked.thread_id)
        last = await self._doors.threads.last_messages(user_id, thread_id, limit=2)
        run_id = next((message.run_id for message in reversed(last) if message.run_id), "")
        if not run_id:
            raise Refusal(Code.RUN_NOT_WAITING, "Nothing waits for an answer in this thread.")
        run, stored = await self._wiring.conversation.get_run(user_id, run_id)
        history = await self._history(user_id, run, _kept_of(run).agui_ids)
        self._streams.enter(request.principal)
        try:

            def make() -> AguiMapping:
                return AguiMapping(thread_id=asked.thread_id, run_id=asked.run_id, history=history)

            protocol, feeds = (PROTOCOL, asked.run_id, request.body), self._doors.feeds
            async with request.timeout(ATTACH_SECONDS):
                before = await feeds.counted(run, stored, protocol, make, FramePlace())
            try:
                mapping = before.mapping
                waits = mapping.answered_in if isinstance(mapping, AguiMapping) else {}
                state = before.state
                given = [entry for entry in asked.resume if entry.interrupt_id in waits]
                if not given:
                    raise Refusal(
                        Code.RUN_NOT_WAITING, "The thread's last run was not interrupted by what this resumes."
                    )
                for entry in given:
                    reason = "" if state.waiting is None else state.waiting.reason
                    await answer_wait(self._wiring, user_id, run, _command_of(entry, reason, user_id))
                segment = max(waits[entry.interrupt_id] for entry in given)
                run, stored = await self._wiring.conversation.get_run(user_id, run_id)
                async with request.timeout(ATTACH_SECONDS):
                    viewer = await feeds.counted(run, stored, protocol, make, FramePlace(segment))
                await self._stream(request, run, viewer)
            finally:
                await before.close()
        finally:
            self._streams.leave(request.principal)

    async def _events(self, request: Request, name: str) -> None:
        user_id = request.principal.user_id
        try:
            run, stored = await self._wiring.conversation.get_run(user_id, check_id(RUN, name))
        except InvalidIdError as error:
            raise Refusal(Code.RUN_NOT_FOUND, "There is no such run.") from error
        kept = _kept_of(run)
        history = await self._history(user_id, run, kept.agui_ids)
        self._streams.enter(request.principal)
        try:

            def make() -> AguiMapping:
                return AguiMapping(thread_id=kept.agui_thread, run_id=kept.agui_run, history=history)

            async with request.timeout(ATTACH_SECONDS):
                viewer = await self._doors.feeds.resumed(run, stored, (PROTOCOL, kept.agui_run), make)
            await self._stream(request, run, viewer)
        finally:
            self._streams.leave(request.principal)

    async def _stream(self, request: Request, run: Run, viewer: FrameViewer) -> None:
        await self._streams.serve(
            request.scope,
            request.receive,
            request.send,
            viewer,
            request.principal,
            end=b"",
            headers={"x-run-id": run.id},
            resumable=True,
            dismissed=dismissals.agui,
        )

    async def _history(self, user_id: str, run: Run, client_ids: list[str]) -> list[dict[str, Any]]:
        """The stored conversation before a run's answer, along its branch, as AG-UI messages; `client_ids` are the client's
        names of the newest messages that are not the assistant's, oldest first."""
        known: dict[str, Message] = {}
        cursor = ""
        while True:
            page = await self._wiring.conversation.list_messages(user_id, run.thread_id, cursor=cursor, limit=200)
            known |= {message.id: message for message in page.messages}
            cursor = page.next_cursor
            if not cursor:
                break
        branch: list[Message] = []
        names: dict[str, str] = {}
        left = list(client_ids)
        message = known.get(run.question_id)
        while message is not None:
            branch.append(message)
            if message.role not in ("assistant", "tool") and left:
                names[message.id] = left.pop()
            message = known.get(message.parent_message_id)
        history: list[dict[str, Any]] = []
        for message in reversed(branch):
            if message.role == "assistant" and message.run_id:
                history += run_messages(
                    message.id, [(number, part, None) for number, part in enumerate(parts_of(message))]
                )
            else:
                identity = names.get(message.id, message.id)
                # What a service appended is no result of a call that the client knows.
                role = "system" if message.role == "tool" else message.role
                history.append({"id": identity, "role": role, "content": message.content})
        return history


def _kept_of(run: Run) -> _Kept:
    """What was kept with the run; its own ids where another door made it."""
    try:
        return msgspec.json.decode(run.client or "{}", type=_Kept)
    except msgspec.DecodeError:
        return _Kept(run.thread_id, run.id)


def _command_of(entry: ResumeEntry, reason: str, user_id: str) -> ProvideInput | DecideApproval | CancelRun:
    """The command that an answer stands for. Who abandons an approval denies it; who abandons anything else stops the run."""
    resolved = entry.status == "resolved"
    if reason == "input":
        if not resolved:
            return CancelRun(by=user_id, at="")
        return ProvideInput(wait_id=entry.interrupt_id, value=entry.payload, by=user_id, at="")
    payload = entry.payload if isinstance(entry.payload, dict) else {}
    return DecideApproval(
        wait_id=entry.interrupt_id,
        approved=resolved and payload.get("approved", True) is True,
        note=str(payload.get("reason") or "")[:2000],
        by=user_id,
        at="",
    )


def _read(body: bytes) -> RunAgentInput:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Refusal(Code.BODY_INVALID, f"The body is no RunAgentInput: {error}.") from error


def _messages(asked: RunAgentInput) -> list[AguiMessage]:
    try:
        return [_message_decoder.decode(message) for message in asked.messages]
    except msgspec.DecodeError as error:
        raise Refusal(Code.BODY_INVALID, f"A message is not one of AG-UI's: {error}.") from error


def _check(asked: RunAgentInput) -> None:
    for name, value in (("tools", asked.tools), ("context", asked.context)):
        if value:
            raise Refusal(Code.BODY_INVALID, f"`{name}` is not supported by this door yet; leave it empty.")
    if not asked.thread_id or not asked.run_id or len(asked.thread_id) > 500 or len(asked.run_id) > 500:
        raise Refusal(Code.BODY_INVALID, "threadId and runId are texts of 1 to 500 characters.")


def _wanted(asked: RunAgentInput, messages: list[AguiMessage], principal: Principal) -> FromClient:
    _check(asked)
    if not messages or messages[-1].role != "user":
        raise Refusal(Code.MESSAGE_EMPTY, "The last message must be a user's.")
    last = messages[-1]
    kept = _Kept(asked.thread_id, asked.run_id, _newest(messages))
    return FromClient(
        thread_id=thread_of_chat(principal.user_id, PROTOCOL, asked.thread_id),
        content=last.text,
        earlier=[_earlier(message) for message in messages[:-1] if message.role in _ROLES],
        key=f"{asked.run_id}:{last.id}",
        client=msgspec.json.encode(kept).decode(),
        roles=(principal.role,),
    )


_ROLES: Final = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}


def _newest(messages: list[AguiMessage]) -> list[str]:
    """The ids of the messages that are not the assistant's, as many of the newest as there is room for."""
    ids: list[str] = []
    size = 0
    for message in reversed(messages):
        if message.role in ("system", "developer", "user"):
            size += len(message.id) + 3
            if size > KEPT_CHARACTERS:
                break
            ids.append(message.id)
    return ids[::-1]


def _earlier(message: AguiMessage) -> Earlier:
    stored = stored_message_of(message.id) if message.role == "assistant" else ""
    return Earlier(_ROLES[message.role], message.text, stored)
