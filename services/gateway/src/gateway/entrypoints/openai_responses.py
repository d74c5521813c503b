"""`/openai/v1/responses`: create, stream, background, retrieve, resume, cancel, delete, input items."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from contracts.client_tools import decode_tools
from contracts.codes import Code
from contracts.ids import RUN, THREAD, InvalidIdError, check_id, derived_id, new_id

from gateway.domain import dismissals
from gateway.domain.brought_tools import check_names
from gateway.domain.problems import Refusal
from gateway.domain.protocols.frame import FramePlace
from gateway.domain.protocols.openai_response_object import (
    STATUSES,
    About,
    output_items,
    response_id,
    response_object,
    run_id_of,
)
from gateway.domain.protocols.openai_responses import ResponsesMapping
from gateway.domain.records import Message, Run
from gateway.domain.stored_log import parts_of
from gateway.domain.tool_turns import ToolTurns, pending_calls, results_in
from gateway.entrypoints.doors import Request
from gateway.entrypoints.openai_errors import ParameterRefusal, showing
from gateway.entrypoints.openai_input import flag_parameter, model_of, read_parameters, text_parameter
from gateway.entrypoints.openai_response_input import input_items, read_input
from gateway.entrypoints.openai_tools import TOOL_PARAMETERS, read_tools
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer_json
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.cancel_run import cancel_run
from gateway.handlers.send_from_client import Earlier, FromClient, send_from_client
from gateway.handlers.wait_recorded import wait_recorded
from gateway.ports import FrameViewer

KNOWN: Final = frozenset(
    {"model", "input", "instructions", "stream", "background", "previous_response_id", "metadata", "stream_options"}
    | TOOL_PARAMETERS
)
HARMLESS: Final[Mapping[str, Any]] = {
    "store": (True,),
    "tools": ([],),
    "tool_choice": ("auto",),
    "parallel_tool_calls": (True,),
    "truncation": ("disabled",),
    "text": ({"format": {"type": "text"}}, {}),
    "include": ([],),
    "stream_options": ({"include_obfuscation": False}, {}),
}
TAGS: Final = ("openai",)
ECHOED: Final = 1500
"""Characters of instructions or metadata that are found again with the response."""
CANCEL_SECONDS: Final = 2.0


class _Kept(msgspec.Struct, omit_defaults=True):
    """What is kept with the run (`Run.client`)."""

    previous_response_id: str | None = None
    background: bool = False
    instructions: str | None = None
    metadata: dict[str, str] = {}


class Responses:
    """A response is a run; those that follow one another share its thread."""

    def __init__(self, wiring: Wiring, doors: Doors, streams: ProtocolStreams) -> None:
        self._wiring: Final = wiring
        self._doors: Final = doors
        self._streams: Final = streams

    async def create(self, request: Request) -> None:
        """POST: whole, streamed, or in the background."""
        wanted = read_parameters(request.body, KNOWN, HARMLESS)
        message, kept = await self._message(request, wanted)
        streamed, user_id = flag_parameter(wanted, "stream"), request.principal.user_id
        request.take_message()
        if not kept.background:
            # In the background nobody watches, and on the legacy path that would be the end of it.
            message = await request.with_path(message)
        self._streams.enter(request.principal)
        try:
            accepted = await send_from_client(
                self._wiring.conversation, self._doors.threads, self._wiring.models, user_id, message
            )
            run, stored = await self._wiring.conversation.get_run(user_id, accepted.run_id)
            with showing(run, message.key):
                viewer = await self._view(request, run, stored, FramePlace())
            if streamed:
                await self._stream(request, run, viewer)
                return
            try:
                if not kept.background and not await self._streams.wait_for_end(
                    request.scope, request.receive, viewer, request.principal
                ):
                    return
                body = _object(run, viewer)
            finally:
                await viewer.close()
            # SDKs repeat a failed POST by themselves: it would be another run.
            await answer_json(request.send, 200, body, {"x-run-id": run.id, "x-should-retry": "false"})
        finally:
            self._streams.leave(request.principal)

    async def retrieve(self, request: Request, name: str) -> None:
        """GET: the response as it is, or its stream from any place on."""
        query = parse_qs(request.query)
        run, stored = await self._find(request, name)
        after = query.get("starting_after", [""])[0]
        if after and not (after.isascii() and after.isdigit()):
            raise ParameterRefusal("starting_after", "starting_after is a sequence_number.", code="invalid_value")
        if query.get("stream", ["false"])[0].lower() != "true":
            viewer = await self._view(request, run, stored, FramePlace())
            try:
                await answer_json(request.send, 200, _object(run, viewer), {"x-run-id": run.id})
            finally:
                await viewer.close()
            return
        self._streams.enter(request.principal)
        try:
            viewer = await self._view(request, run, stored, FramePlace(0, int(after) + 1 if after else 0))
            await self._stream(request, run, viewer)
        finally:
            self._streams.leave(request.principal)

    async def cancel(self, request: Request, name: str) -> None:
        """POST: stop it; answers with the response, which has ended unless the worker needs longer."""
        run, stored = await self._find(request, name)
        viewer = await self._view(request, run, stored, FramePlace())
        try:
            try:
                await cancel_run(
                    self._wiring.conversation,
                    self._wiring.log,
                    request.principal.user_id,
                    run.id,
                    now=datetime.now(UTC),
                )
            except Refusal as refusal:
                if refusal.code is not Code.RUN_FINISHED:
                    raise
            try:
                async with asyncio.timeout(CANCEL_SECONDS):
                    while not viewer.ended:
                        await viewer.take()
            except TimeoutError:
                pass
            await answer_json(request.send, 200, _object(run, viewer), {"x-run-id": run.id})
        finally:
            await viewer.close()

    async def delete(self, request: Request, name: str) -> None:
        """DELETE: the response and its thread; refused while other responses stand on it."""
        run, _ = await self._find(request, name)
        user_id = request.principal.user_id
        messages = await self._doors.threads.last_messages(user_id, run.thread_id, limit=200)
        others = {message.run_id for message in messages if message.run_id} - {run.id}
        if others:
            raise Refusal(
                Code.THREAD_BUSY,
                "Other responses belong to the same conversation; it can only be deleted as a whole: "
                f"DELETE /v1/threads/{run.thread_id}.",
            )
        await self._wiring.conversation.delete_thread(user_id, run.thread_id)
        body = {"id": response_id(run.id), "object": "response", "deleted": True}
        await answer_json(request.send, 200, body)

    async def input_items(self, request: Request, name: str) -> None:
        """GET: what the response answers, newest first unless `order=asc`."""
        run, _ = await self._find(request, name)
        messages = await self._input(request.principal.user_id, run)
        items = [item for message in messages for item in input_items(message)]
        query = parse_qs(request.query)
        for parameter in set(query) - {"limit", "order"}:
            raise ParameterRefusal(parameter, f"{parameter!r} is not supported here.")
        if query.get("order", ["desc"])[0] != "asc":
            items.reverse()
        body = {
            "object": "list",
            "data": items,
            "first_id": items[0]["id"] if items else None,
            "last_id": items[-1]["id"] if items else None,
            "has_more": False,
        }
        await answer_json(request.send, 200, body)

    async def _message(self, request: Request, wanted: Mapping[str, Any]) -> tuple[FromClient, _Kept]:
        turns = ToolTurns()
        instructions = text_parameter(wanted, "instructions")
        previous = text_parameter(wanted, "previous_response_id")
        metadata = _metadata(wanted.get("metadata", {}))
        kept = _Kept(
            previous_response_id=previous or None,
            background=flag_parameter(wanted, "background"),
            instructions=instructions if 0 < len(instructions) <= ECHOED else None,
            metadata=metadata,
        )
        key = request.headers.get("idempotency-key", "")
        user_id = request.principal.user_id
        thread_id = derived_id(THREAD, user_id, "openai", key) if key else new_id(THREAD)
        before: list[Earlier] = []
        if previous:
            if instructions:
                raise ParameterRefusal(
                    "instructions",
                    "instructions cannot change within a conversation here; they are the first response's.",
                )
            run, stored = await self._find(request, previous, "previous_response_id")
            stored = stored or await self._recorded(request, run)
            thread_id, before = run.thread_id, [Earlier("assistant", "", run.message_id)]
            for call in pending_calls(parts_of(stored)):
                turns.expect(call)
        elif instructions:
            before = [Earlier("system", instructions)]
        read_input(turns, wanted.get("input"))
        last = turns.items[-1] if turns.items else Earlier("", "")
        if last.role not in ("user", "tool"):
            raise ParameterRefusal(
                "input", "The input must end with a user's message, or what came of a call.", code="invalid_value"
            )
        earlier = [*before, *turns.items[:-1]]
        if previous and any(item.role != "tool" for item in turns.items[:-1]):
            raise ParameterRefusal(
                "input", "With previous_response_id the input is what came of its calls, or one user message, or both."
            )
        model = model_of(wanted, self._wiring.models)
        tools = read_tools(wanted, "responses", self._wiring.models.find(model))
        await check_names(self._wiring.agents, "", tools)
        message = FromClient(
            thread_id=thread_id,
            content=last.content,
            results=results_in(last),
            earlier=earlier,
            model=model,
            tools=tools,
            key=key,
            client=msgspec.json.encode(kept).decode(),
            tags=TAGS,
            roles=(request.principal.role,),
        )
        return message, kept

    async def _recorded(self, request: Request, run: Run) -> Message:
        """The answer of a response whose last event was shown already; raises Refusal for one that goes on."""

        async def stored() -> Message | None:
            return (await self._wiring.conversation.get_run(request.principal.user_id, run.id))[1]

        viewer = await self._view(request, run, None, FramePlace())
        try:
            found = await wait_recorded(stored) if viewer.state.is_terminal else None
        finally:
            await viewer.close()
        if found is not None:
            return found
        raise ParameterRefusal("previous_response_id", "The previous response has not ended yet.", code="invalid_value")

    async def _view(self, request: Request, run: Run, stored: Message | None, place: FramePlace) -> FrameViewer:
        async with request.timeout(ATTACH_SECONDS):
            return await self._doors.feeds.counted(
                run, stored, "openai_responses", lambda: ResponsesMapping(_about(run)), place
            )

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
            dismissed=dismissals.openai_responses,
        )

    async def _find(self, request: Request, name: str, parameter: str = "response_id") -> tuple[Run, Message | None]:
        missing = ParameterRefusal(parameter, f"Response with id {name[:80]!r} not found.", code="not_found")
        missing.status = 404 if parameter == "response_id" else 400
        try:
            run_id = check_id(RUN, run_id_of(name))
            return await self._wiring.conversation.get_run(request.principal.user_id, run_id)
        except InvalidIdError:
            raise missing from None
        except Refusal as refusal:
            if refusal.code is Code.RUN_NOT_FOUND:
                raise missing from refusal
            raise

    async def _input(self, user_id: str, run: Run) -> list[Message]:
        """The question, and what was brought along with it, oldest first."""
        known: dict[str, Message] = {}
        cursor = ""
        while True:
            page = await self._wiring.conversation.list_messages(user_id, run.thread_id, cursor=cursor, limit=200)
            known |= {message.id: message for message in page.messages}
            cursor = page.next_cursor
            if not cursor:
                break
        found: list[Message] = []
        message = known.get(run.question_id)
        while message is not None and (not found or not message.run_id):
            found.append(message)
            message = known.get(message.parent_message_id)
        return found[::-1]


def _about(run: Run) -> About:
    kept = _Kept()
    if run.client:
        try:
            kept = msgspec.json.decode(run.client, type=_Kept)
        except msgspec.DecodeError:
            # Another door's run, seen through this one.
            kept = _Kept()
    return About(
        run_id=run.id,
        model=run.model,
        created_at=run.created_at,
        previous_response_id=kept.previous_response_id,
        background=kept.background,
        instructions=kept.instructions,
        metadata=kept.metadata,
        tools=decode_tools(run.client_tools),
    )


def _object(run: Run, viewer: FrameViewer) -> dict[str, Any]:
    """The response as of now."""
    mapping, state = viewer.mapping, viewer.state
    if isinstance(mapping, ResponsesMapping) and mapping.final is not None:
        return mapping.final
    output = output_items(run.id, state.message_parts, state.status)
    return response_object(_about(run), status=STATUSES[state.status], output=output)


def _metadata(given: object) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ParameterRefusal("metadata", "metadata is an object of strings.", code="invalid_type")
    if len(given) > 16 or sum(len(str(name)) + len(value) for name, value in given.items()) > ECHOED:
        raise ParameterRefusal(
            "metadata", f"metadata has at most 16 entries and {ECHOED} characters here.", code="invalid_value"
        )
    return {str(name): value for name, value in given.items()}
