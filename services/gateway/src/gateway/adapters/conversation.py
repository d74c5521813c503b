"""ConversationService over gRPC. Waits for a connection within a deadline; turns failures into refusals."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar

import grpc
import msgspec
from contracts.client_tools import encode_tools
from contracts.times import rfc3339
from contracts.usage import Usage
from rpc.v1 import conversation_pb2 as pb
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.adapters.results import pair_of, result_of
from gateway.domain.comparison import RunResult
from gateway.domain.records import PLAIN, Accepted, Message, Preferences, Run, SendOptions, Thread, ThreadChange, User
from gateway.domain.shadowing import ShadowPair
from gateway.ports import ClientMessage, Page

SERVICE: Final = "everthread.v1.ConversationService"
IDEMPOTENT: Final = tuple(
    f"{SERVICE}/{method}" for method in ("GetThread", "ListThreads", "ListMessages", "GetRun", "GetUser")
)

Q = TypeVar("Q")
A = TypeVar("A")


class GrpcConversation:
    """`ports.Conversation`. `deadline` is what one call may take, waiting for a connection included, in seconds."""

    def __init__(self, addresses: str, *, deadline: float) -> None:
        self._channel: Final = connect(addresses, idempotent=IDEMPOTENT)
        self._stub: Final = ConversationServiceStub(self._channel)
        self._deadline: Final = deadline

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    def connected(self) -> bool:
        """A conversation process is there (or has not been needed yet); asks for a connection where there is none."""
        state = self._channel.get_state(try_to_connect=True)
        return state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE)

    async def create_thread(
        self,
        user_id: str,
        *,
        title: str,
        model: str,
        tags: Sequence[str],
        kind: str = "",
        agent: str = "",
        on_busy: str = "",
        idempotency_key: str = "",
    ) -> Thread:
        """See ports.Conversation."""
        request = pb.CreateThreadRequest(
            user_id=user_id,
            title=title,
            model=model,
            tags=tags,
            kind=kind,
            agent=agent,
            on_busy=on_busy,
            idempotency_key=idempotency_key,
        )
        return thread_of((await self._call(self._stub.CreateThread, request)).thread)

    async def get_thread(self, user_id: str, thread_id: str) -> Thread:
        """See ports.Conversation."""
        request = pb.GetThreadRequest(user_id=user_id, thread_id=thread_id)
        return thread_of((await self._call(self._stub.GetThread, request)).thread)

    async def list_threads(self, user_id: str, *, archived: bool | None, cursor: str, limit: int) -> Page:
        """See ports.Conversation."""
        request = pb.ListThreadsRequest(user_id=user_id, archived=archived, cursor=cursor, limit=limit)
        answer = await self._call(self._stub.ListThreads, request)
        return Page(threads=[thread_of(item) for item in answer.items], messages=(), next_cursor=answer.next_cursor)

    async def update_thread(self, user_id: str, thread_id: str, change: ThreadChange) -> Thread:
        """See ports.Conversation."""
        request = pb.UpdateThreadRequest(
            user_id=user_id,
            thread_id=thread_id,
            title=change.title,
            model=change.model,
            archived=change.archived,
            pinned=change.pinned,
            starred=change.starred,
            tags=None if change.tags is None else pb.UpdateThreadRequest.Tags(values=change.tags),
            agent=change.agent,
            on_busy=change.on_busy,
            branch=change.branch,
        )
        return thread_of((await self._call(self._stub.UpdateThread, request)).thread)

    async def delete_thread(self, user_id: str, thread_id: str) -> None:
        """See ports.Conversation."""
        await self._call(self._stub.DeleteThread, pb.DeleteThreadRequest(user_id=user_id, thread_id=thread_id))

    async def accept_message(
        self,
        user_id: str,
        thread_id: str,
        *,
        content: str,
        model: str,
        path: str,
        idempotency_key: str,
        body_hash: bytes,
        parent_message_id: str,
        options: SendOptions = PLAIN,
    ) -> Accepted:
        """See ports.Conversation."""
        request = pb.AcceptMessageRequest(
            user_id=user_id,
            thread_id=thread_id,
            content=content,
            model=model,
            path=path,
            idempotency_key=idempotency_key,
            body_hash=body_hash,
            parent_message_id=parent_message_id,
            agent=options.agent,
            on_busy=options.on_busy,
            run_at=options.run_at,
            roles=options.roles,
            steer_run_id=options.steer_run_id,
            answers_message_id=options.answers_message_id,
            replaces_message_id=options.replaces_message_id,
            branch_label=options.branch_label,
        )
        answer = await self._call(self._stub.AcceptMessage, request)
        return Accepted(
            message_id=answer.message_id,
            assistant_message_id=answer.assistant_message_id,
            run_id=answer.run_id,
            path=answer.path,
            steered=answer.steered,
            queued=answer.queued,
            command=answer.command,
        )

    async def open_thread(self, user_id: str, thread_id: str, *, tags: Sequence[str]) -> Thread:
        """See ports.ClientThreads."""
        request = pb.CreateThreadRequest(user_id=user_id, thread_id=thread_id, tags=tags)
        return thread_of((await self._call(self._stub.CreateThread, request)).thread)

    async def accept(self, user_id: str, thread_id: str, message: ClientMessage) -> Accepted:
        """See ports.ClientThreads."""
        request = pb.AcceptMessageRequest(
            user_id=user_id,
            thread_id=thread_id,
            content=message.content,
            model=message.model,
            path=message.path,
            idempotency_key=message.idempotency_key,
            body_hash=message.body_hash,
            parent_message_id=message.parent_message_id,
            from_root=message.from_root,
            history=[
                pb.InputMessage(
                    role=item.role,
                    content=item.content,
                    parts_json=msgspec.json.encode(item.parts) if item.parts else b"",
                )
                for item in message.history
            ],
            client=message.client,
            roles=message.roles,
            results_json=msgspec.json.encode(message.results) if message.results else b"",
            results_once=message.results_once,
            client_tools_json=encode_tools(message.tools),
            context=message.context,
        )
        answer = await self._call(self._stub.AcceptMessage, request)
        return Accepted(
            message_id=answer.message_id,
            assistant_message_id=answer.assistant_message_id,
            run_id=answer.run_id,
            path=answer.path,
            repeated=answer.repeated_request,
            command=answer.command,
        )

    async def last_messages(self, user_id: str, thread_id: str, *, limit: int) -> Sequence[Message]:
        """See ports.ClientThreads."""
        request = pb.ListMessagesRequest(user_id=user_id, thread_id=thread_id, limit=limit, from_end=True)
        answer = await self._call(self._stub.ListMessages, request)
        return [_message(item) for item in answer.items]

    async def leading_to(self, user_id: str, thread_id: str, message_id: str, *, limit: int) -> Sequence[Message]:
        """See ports.ClientThreads."""
        request = pb.ListMessagesRequest(user_id=user_id, thread_id=thread_id, limit=limit, path_to=message_id)
        answer = await self._call(self._stub.ListMessages, request)
        return [_message(item) for item in answer.items]

    async def page_behind(
        self, user_id: str, thread_id: str, message_id: str, *, cursor: str, limit: int
    ) -> tuple[Sequence[Message], str]:
        """See ports.ClientThreads."""
        request = pb.ListMessagesRequest(
            user_id=user_id, thread_id=thread_id, cursor=cursor, limit=limit, behind=message_id
        )
        answer = await self._call(self._stub.ListMessages, request)
        return [_message(item) for item in answer.items], answer.next_cursor

    async def list_messages(
        self, user_id: str, thread_id: str, *, cursor: str, limit: int, branch: str = "", from_end: bool = False
    ) -> Page:
        """See ports.Conversation."""
        request = pb.ListMessagesRequest(
            user_id=user_id, thread_id=thread_id, cursor=cursor, limit=limit, branch=branch, from_end=from_end
        )
        answer = await self._call(self._stub.ListMessages, request)
        return Page(threads=(), messages=[_message(item) for item in answer.items], next_cursor=answer.next_cursor)

    async def get_run(self, user_id: str, run_id: str, *, commanding: bool = False) -> tuple[Run, Message | None]:
        """See ports.Conversation."""
        request = pb.GetRunRequest(user_id=user_id, run_id=run_id, commanding=commanding)
        answer = await self._call(self._stub.GetRun, request)
        return run_of(answer.run), _message(answer.message) if answer.HasField("message") else None

    async def list_run_results(
        self, *, since: datetime, limit: int, with_operations: bool = False
    ) -> Sequence[RunResult]:
        """See ports.RunResults."""
        request = pb.ListRunResultsRequest(since=rfc3339(since), limit=limit, with_operations=with_operations)
        answer = await self._call(self._stub.ListRunResults, request)
        now = datetime.now(UTC)
        return [result_of(item, now) for item in answer.items]

    async def list_shadows(self, *, since: datetime, limit: int) -> Sequence[ShadowPair]:
        """See rollout_ports.Shadows."""
        answer = await self._call(self._stub.ListShadows, pb.ListShadowsRequest(since=rfc3339(since), limit=limit))
        now = datetime.now(UTC)
        return [pair_of(item, now) for item in answer.items]

    async def note_departure(self, run_id: str) -> None:
        """Nobody watches the run any more. Idempotent; raises Refusal."""
        await self._call(self._stub.NoteDeparture, pb.NoteDepartureRequest(run_id=run_id))

    async def get_user(self, user_id: str) -> User:
        """See ports.Conversation."""
        answer = await self._call(self._stub.GetUser, pb.GetUserRequest(user_id=user_id))
        return User(id=answer.user_id, preferences=_preferences(answer.preferences), created_at=answer.created_at)

    async def look_up_user(self, user_id: str) -> User | None:
        """See ports.Conversation."""
        answer = await self._call(self._stub.GetUser, pb.GetUserRequest(user_id=user_id, look_only=True))
        if not answer.created_at:
            return None
        return User(id=answer.user_id, preferences=_preferences(answer.preferences), created_at=answer.created_at)

    async def update_preferences(
        self, user_id: str, *, system_prompt: str | None, default_model: str | None, path: str | None = None
    ) -> Preferences:
        """See ports.Conversation."""
        request = pb.UpdatePreferencesRequest(
            user_id=user_id, system_prompt=system_prompt, default_model=default_model, path=path
        )
        return _preferences((await self._call(self._stub.UpdatePreferences, request)).preferences)

    async def _call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]", request: Q) -> A:
        return await call(method, request, self._deadline)


def thread_of(item: pb.Thread) -> Thread:
    """A thread as it came."""
    return Thread(
        id=item.id,
        title=item.title,
        model=item.model,
        agent=item.agent,
        archived=item.archived,
        pinned=item.pinned,
        starred=item.starred,
        tags=tuple(item.tags),
        created_at=item.created_at,
        updated_at=item.updated_at,
        role=item.role or "owner",
        owner_id=item.owner_id,
        members=item.members or 1,
        kind=item.kind or "normal",
        on_busy=item.on_busy,
        branch=item.branch,
    )


def _usage(item: pb.Usage) -> Usage:
    return Usage(
        input_tokens=item.input_tokens,
        output_tokens=item.output_tokens,
        cached_tokens=item.cached_tokens,
        reasoning_tokens=item.reasoning_tokens,
        estimated=item.estimated,
    )


def _message(item: pb.Message) -> Message:
    return Message(
        id=item.id,
        thread_id=item.thread_id,
        role=item.role,
        status=item.status,
        content=item.content,
        parts_json=item.parts_json,
        model=item.model,
        usage=_usage(item.usage) if item.HasField("usage") else None,
        cost_microusd=item.cost_microusd if item.HasField("cost_microusd") else None,
        run_id=item.run_id,
        parent_message_id=item.parent_message_id,
        created_at=item.created_at,
        error_code=item.error_code,
        error_message=item.error_message,
        author=item.author,
        cancelled_by=item.cancelled_by,
    )


def run_of(item: pb.Run) -> Run:
    """A run as it came."""
    return Run(
        id=item.id,
        thread_id=item.thread_id,
        message_id=item.message_id,
        model=item.model,
        path=item.path,
        status=item.status,
        created_at=item.created_at,
        ended_at=item.ended_at,
        recorded_at=item.recorded_at,
        client_tools=item.client_tools_json,
        usage=_usage(item.usage) if item.HasField("usage") else None,
        cost_microusd=item.cost_microusd if item.HasField("cost_microusd") else None,
        error_code=item.error_code,
        error_message=item.error_message,
        final_sequence=item.final_sequence,
        attempts=item.attempts,
        question_id=item.question_id,
        client=item.client,
        author=item.author,
        cancelled_by=item.cancelled_by,
        agent=item.agent,
        run_at=item.run_at,
    )


def _preferences(item: pb.Preferences) -> Preferences:
    return Preferences(system_prompt=item.system_prompt, default_model=item.default_model, path=item.path)
