"""gRPC: each call decodes, calls its handler and encodes."""

import hashlib
from datetime import datetime
from typing import Any

import grpc
import msgspec
from contracts.client_tools import decode_results
from contracts.codes import Code
from contracts.parts import Part, ToolCallPart
from contracts.run_state import decode_snapshot
from contracts.times import parse_rfc3339, rfc3339
from rpc.v1 import conversation_pb2 as pb
from rpc.v1.conversation_pb2_grpc import ConversationServiceServicer

from conversation.domain.acceptance import Earlier, NewMessage
from conversation.domain.entities import Role
from conversation.domain.refusals import RefusedError
from conversation.entrypoints.answering import answering
from conversation.entrypoints.replies import message_reply, preferences_reply, run_reply, thread_reply
from conversation.entrypoints.result_replies import pair_reply, result_reply
from conversation.entrypoints.thread_calls import ThreadCalls
from conversation.handlers.accept_message import accept_message
from conversation.handlers.create_thread import create_thread
from conversation.handlers.delete_thread import delete_thread
from conversation.handlers.get_run import get_run
from conversation.handlers.get_run_input import get_run_input
from conversation.handlers.get_thread import get_thread
from conversation.handlers.get_user import get_user, look_up_user
from conversation.handlers.list_messages import list_messages
from conversation.handlers.list_run_results import list_run_results
from conversation.handlers.list_shadows import list_shadows
from conversation.handlers.list_threads import list_threads
from conversation.handlers.note_departure import note_departure
from conversation.handlers.record_snapshot import record_snapshot
from conversation.handlers.update_preferences import update_preferences
from conversation.handlers.update_thread import ThreadChanges, update_thread

Context = grpc.aio.ServicerContext[Any, Any]
_parts_decoder: msgspec.json.Decoder[tuple[Part, ...]] = msgspec.json.Decoder(tuple[Part, ...])


class ConversationService(ThreadCalls, ConversationServiceServicer):
    """proto/rpc/v1/conversation.proto over the handlers."""

    async def CreateThread(self, request: pb.CreateThreadRequest, context: Context) -> pb.CreateThreadResponse:
        async with answering(context):
            thread = await create_thread(
                self._parts,
                request.user_id,
                title=request.title,
                model=request.model,
                tags=request.tags,
                thread_id=request.thread_id,
                kind=request.kind,
                agent=request.agent,
                on_busy=request.on_busy,
                key=request.idempotency_key,
            )
            return pb.CreateThreadResponse(thread=thread_reply(thread, request.user_id))

    async def GetThread(self, request: pb.GetThreadRequest, context: Context) -> pb.GetThreadResponse:
        async with answering(context):
            thread = await get_thread(self._parts, request.user_id, request.thread_id)
            return pb.GetThreadResponse(thread=thread_reply(thread, request.user_id))

    async def ListThreads(self, request: pb.ListThreadsRequest, context: Context) -> pb.ListThreadsResponse:
        async with answering(context):
            page = await list_threads(
                self._parts,
                request.user_id,
                archived=request.archived if request.HasField("archived") else None,
                cursor=request.cursor,
                limit=request.limit,
            )
            return pb.ListThreadsResponse(
                items=[thread_reply(thread, request.user_id) for thread in page.items],
                next_cursor=page.next_cursor,
            )

    async def UpdateThread(self, request: pb.UpdateThreadRequest, context: Context) -> pb.UpdateThreadResponse:
        async with answering(context):
            changes = ThreadChanges(
                title=request.title if request.HasField("title") else None,
                model=request.model if request.HasField("model") else None,
                archived=request.archived if request.HasField("archived") else None,
                pinned=request.pinned if request.HasField("pinned") else None,
                starred=request.starred if request.HasField("starred") else None,
                tags=list(request.tags.values) if request.HasField("tags") else None,
                agent=request.agent if request.HasField("agent") else None,
                on_busy=request.on_busy if request.HasField("on_busy") else None,
                branch=request.branch if request.HasField("branch") else None,
            )
            thread = await update_thread(self._parts, request.user_id, request.thread_id, changes)
            return pb.UpdateThreadResponse(thread=thread_reply(thread, request.user_id))

    async def DeleteThread(self, request: pb.DeleteThreadRequest, context: Context) -> pb.DeleteThreadResponse:
        async with answering(context):
            await delete_thread(self._parts, request.user_id, request.thread_id)
            return pb.DeleteThreadResponse()

    async def AcceptMessage(self, request: pb.AcceptMessageRequest, context: Context) -> pb.AcceptMessageResponse:
        async with answering(context):
            accepted = await accept_message(self._parts, _new_message(request))
            return pb.AcceptMessageResponse(
                message_id=accepted.message_id,
                assistant_message_id=accepted.assistant_message_id,
                run_id=accepted.run_id,
                path=accepted.path,
                repeated_request=accepted.repeated,
                steered=accepted.steered,
                queued=accepted.queued,
                command=accepted.command,
            )

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        async with answering(context):
            page = await list_messages(
                self._parts,
                request.user_id,
                request.thread_id,
                cursor=request.cursor,
                limit=request.limit,
                from_end=request.from_end,
                branch=request.branch,
                path_to=request.path_to,
                behind=request.behind,
            )
            return pb.ListMessagesResponse(
                items=[message_reply(message) for message in page.items], next_cursor=page.next_cursor
            )

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        async with answering(context):
            run, message = await get_run(self._parts, request.user_id, request.run_id, commanding=request.commanding)
            reply = run_reply(run)
            reply.client_tools_json = run.client_tools.encode()
            return pb.GetRunResponse(run=reply, message=None if message is None else message_reply(message))

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        async with answering(context):
            if request.look_only:
                known = await look_up_user(self._parts, request.user_id)
                if known is None:
                    return pb.GetUserResponse(user_id=request.user_id)
            user = await get_user(self._parts, request.user_id)
            return pb.GetUserResponse(
                user_id=user.id,
                preferences=preferences_reply(user.preferences),
                created_at=rfc3339(user.created_at),
            )

    async def UpdatePreferences(
        self, request: pb.UpdatePreferencesRequest, context: Context
    ) -> pb.UpdatePreferencesResponse:
        async with answering(context):
            preferences = await update_preferences(
                self._parts,
                request.user_id,
                system_prompt=request.system_prompt if request.HasField("system_prompt") else None,
                default_model=request.default_model if request.HasField("default_model") else None,
                path=request.path if request.HasField("path") else None,
            )
            return pb.UpdatePreferencesResponse(preferences=preferences_reply(preferences))

    async def RecordRun(self, request: pb.RecordRunRequest, context: Context) -> pb.RecordRunResponse:
        async with answering(context):
            try:
                state = decode_snapshot(request.snapshot).state
            except msgspec.MsgspecError as error:
                raise RefusedError(Code.BODY_INVALID, f"This is no snapshot: {error}") from error
            await record_snapshot(self._parts, state)
            return pb.RecordRunResponse()

    async def ListRunResults(self, request: pb.ListRunResultsRequest, context: Context) -> pb.ListRunResultsResponse:
        async with answering(context):
            since = _moment(request.since)
            found = await list_run_results(self._parts, since, request.limit, with_operations=request.with_operations)
            return pb.ListRunResultsResponse(items=[result_reply(one) for one in found])

    async def ListShadows(self, request: pb.ListShadowsRequest, context: Context) -> pb.ListShadowsResponse:
        async with answering(context):
            pairs = await list_shadows(self._parts, _moment(request.since), request.limit)
            return pb.ListShadowsResponse(items=[pair_reply(pair) for pair in pairs])

    async def NoteDeparture(self, request: pb.NoteDepartureRequest, context: Context) -> pb.NoteDepartureResponse:
        async with answering(context):
            await note_departure(self._parts, request.run_id)
            return pb.NoteDepartureResponse()

    async def GetRunInput(self, request: pb.GetRunInputRequest, context: Context) -> pb.GetRunInputResponse:
        async with answering(context):
            found = await get_run_input(self._parts, request.run_id)
            return pb.GetRunInputResponse(
                model=found.model,
                messages=[
                    pb.InputMessage(
                        role=one.role,
                        content=one.content,
                        parts_json=msgspec.json.encode(one.parts) if one.parts else b"",
                    )
                    for one in found.messages
                ],
                agent=found.agent,
                user_id=found.user_id,
                roles=found.roles,
                recorded_parts_json=msgspec.json.encode(found.recorded) if found.recorded else b"",
                client_tools_json=found.client_tools.encode(),
            )


def _new_message(request: pb.AcceptMessageRequest) -> NewMessage:
    # A caller that sends no hash of its body is compared by what it asked for.
    asked = "\x00".join(
        (
            request.content,
            request.model,
            request.parent_message_id,
            request.answers_message_id,
            request.replaces_message_id,
            request.steer_run_id,
            request.run_at,
        )
    )
    return NewMessage(
        user_id=request.user_id,
        thread_id=request.thread_id,
        content=request.content,
        path=request.path or "durable_event",
        model=request.model,
        idempotency_key=request.idempotency_key,
        body_hash=request.body_hash or hashlib.sha256(asked.encode()).digest(),
        parent_message_id=request.parent_message_id,
        from_root=request.from_root,
        history=tuple(Earlier(_role(item.role), item.content, _parts_of(item)) for item in request.history),
        client=request.client,
        agent=request.agent,
        on_busy=request.on_busy,
        roles=tuple(request.roles),
        run_at=_run_at(request.run_at),
        steer_run_id=request.steer_run_id,
        answers_message_id=request.answers_message_id,
        replaces_message_id=request.replaces_message_id,
        branch_label=request.branch_label,
        results=_results_of(request),
        results_once=request.results_once,
        client_tools=_text_of(request.client_tools_json),
        context=request.context,
    )


def _parts_of(item: pb.InputMessage) -> tuple[Part, ...]:
    try:
        return _parts_decoder.decode(item.parts_json) if item.parts_json else ()
    except msgspec.MsgspecError as error:
        raise RefusedError(Code.BODY_INVALID, f"The parts of a message in the history are none: {error}") from error


def _results_of(request: pb.AcceptMessageRequest) -> tuple[ToolCallPart, ...]:
    try:
        return decode_results(request.results_json)
    except msgspec.MsgspecError as error:
        raise RefusedError(Code.BODY_INVALID, f"These are no results of tool calls: {error}") from error


def _text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(Code.BODY_INVALID, "The client's tools are no JSON.") from error


def _moment(text: str) -> datetime:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise RefusedError(Code.QUERY_INVALID, f"The time {text[:40]!r} is not RFC 3339.") from error


def _run_at(text: str) -> datetime | None:
    try:
        moment = parse_rfc3339(text) if text else None
    except ValueError as error:
        raise RefusedError(Code.SCHEDULE_INVALID, f"run_at is {text[:40]!r}, which is no RFC 3339 time.") from error
    if moment is not None and moment.tzinfo is None:
        raise RefusedError(
            Code.SCHEDULE_INVALID, "run_at has no offset; write 2026-11-21T09:00:00+01:00, or Z for UTC."
        )
    return moment


def _role(text: str) -> Role:
    if text not in ("system", "user", "assistant", "tool"):
        raise RefusedError(Code.BODY_INVALID, f"The role is {text[:40]!r}; it must be system, user, assistant or tool.")
    return text  # type: ignore[return-value]  # mypy does not narrow a str to a Literal by membership
