"""`/agui`: AG-UI over HTTP, with the resume that its protocol does not have yet.

`POST /agui/run` takes RunAgentInput and streams; `GET /agui/runs/{run}/events` goes on with a run after a cut or shows one that
ended: RUN_STARTED, MESSAGES_SNAPSHOT, open items again, then the tail. `{run}` is the id in `x-run-id` and in
RUN_STARTED's metadata.
"""

import re
from typing import Any, Final

import msgspec
from contracts.client_tools import is_results
from contracts.codes import Code
from contracts.commands import CancelRun, DecideApproval, ProvideInput
from contracts.ids import RUN, InvalidIdError, check_id
from contracts.parts import ToolCallPart
from starlette.types import Send

from gateway.domain import dismissals
from gateway.domain.brought_tools import check_names
from gateway.domain.chat_ids import thread_of_chat
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.protocols.agui import AguiMapping
from gateway.domain.protocols.agui_messages import run_messages, tool_message
from gateway.domain.protocols.frame import FramePlace
from gateway.domain.records import Message, Run
from gateway.domain.stored_log import parts_of
from gateway.domain.tool_turns import only_open, results_in, settled
from gateway.entrypoints.agui_input import (
    AguiMessage,
    Kept,
    ResumeEntry,
    RunAgentInput,
    check_request,
    kept_ids,
    read_context,
    read_messages,
    read_request,
    read_tools,
    read_turns,
)
from gateway.entrypoints.doors import Request
from gateway.entrypoints.protocol_answers import answer_wait
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer_json
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.find_left import find_left
from gateway.handlers.send_from_client import FromClient, send_from_client
from gateway.ports import FrameViewer

PROTOCOL: Final = "agui"
_EVENTS: Final = re.compile(r"/runs/([^/]+)/events")


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
        asked = read_request(request.body)
        messages = read_messages(asked)
        if asked.resume:
            await self._answer(request, asked)
            return
        wanted = await self._wanted(asked, messages, request.principal)
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

    async def _wanted(self, asked: RunAgentInput, messages: list[AguiMessage], principal: Principal) -> FromClient:
        check_request(asked)
        tools, context = read_tools(asked.tools), read_context(asked.context)
        items = read_turns(messages)
        if not messages or messages[-1].role not in ("user", "tool"):
            raise Refusal(Code.MESSAGE_EMPTY, "The last message must be a user's, or what came of a tool call.")
        thread_id = thread_of_chat(principal.user_id, PROTOCOL, asked.thread_id)
        asked_of = next((item.stored_id for item in reversed(items) if item.stored_id), "")
        if asked_of and any(item.role == "tool" for item in items[-2:]):
            said = items[-1].role == "user"
            given = {result.name for result in results_in(items[-2])} if said else None
            left = await find_left(
                self._wiring.conversation, self._doors.threads, principal.user_id, thread_id, asked_of, given
            )
            if left is not None:
                items = only_open(items, left.calls)
            elif said:
                items = settled(items)
        if items[-1].role not in ("user", "tool"):
            raise Refusal(Code.BODY_INVALID, "The last message answers no call that was left to this client.")
        await check_names(self._wiring.agents, "", tools)
        last = items[-1]
        return FromClient(
            thread_id=thread_id,
            content=last.content,
            results=results_in(last),
            results_once=True,
            earlier=items[:-1],
            key=f"{asked.run_id}:{messages[-1].id}",
            client=msgspec.json.encode(kept_ids(asked, messages)).decode(),
            roles=(principal.role,),
            tools=tools,
            context=context,
        )

    async def _answer(self, request: Request, asked: RunAgentInput) -> None:
        """Answer the interrupts of the thread's last run; its next segment is this AG-UI run."""
        check_request(asked)
        user_id = request.principal.user_id
        thread_id = thread_of_chat(user_id, PROTOCOL, asked.thread_id)
        last = await self._doors.threads.last_messages(user_id, thread_id, limit=2)
        run_id = next((message.run_id for message in reversed(last) if message.run_id), "")
        if not run_id:
            raise Refusal(Code.RUN_NOT_WAITING, "Nothing waits for an answer in this thread.")
        run, stored = await self._wiring.conversation.get_run(user_id, run_id)
        history = await self._history(user_id, run, _kept_of(run))
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
        history = await self._history(user_id, run, kept)
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

    async def _history(self, user_id: str, run: Run, kept: Kept) -> list[dict[str, Any]]:
        """The stored conversation before a run's answer, along its branch, as AG-UI messages; `kept` are the client's names of
        the newest messages that are not the assistant's."""
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
        left = list(kept.agui_ids)
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
            elif is_results(message.role, parts := parts_of(message)):
                for part in parts:
                    if isinstance(part, ToolCallPart):
                        told = tool_message(part)
                        history.append(told | {"id": kept.agui_results.get(part.tool_call_id, told["id"])})
            else:
                identity = names.get(message.id, message.id)
                # What a service appended is no result of a call that the client knows.
                role = "system" if message.role == "tool" else message.role
                history.append({"id": identity, "role": role, "content": message.content})
        return history


def _kept_of(run: Run) -> Kept:
    """What was kept with the run; its own ids where another door made it."""
    try:
        return msgspec.json.decode(run.client or "{}", type=Kept)
    except msgspec.DecodeError:
        return Kept(run.thread_id, run.id)


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
