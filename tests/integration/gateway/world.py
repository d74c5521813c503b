"""A gateway over real HTTP and real gRPC: the bus in memory, conversation by hand, runs written by the test."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
import httpx2
from bus.api import Claim
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.codes import Code
from contracts.facts import FeedEntry
from contracts.ids import MESSAGE, RUN, THREAD, new_id, user_id_of
from contracts.registry import Registry, load_registry
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.subjects import feed_subject
from contracts.usage import Usage
from gateway.adapters.browser_registry import BrowserRegistry
from gateway.adapters.conversation import GrpcConversation
from gateway.adapters.feed_unread import FeedUnread
from gateway.adapters.hub import Hub
from gateway.adapters.keys import VerificationKey
from gateway.adapters.tokens import TokenAuthenticator
from gateway.adapters.webhook_registry import DeliveryRegistry, WebhookRegistry
from gateway.domain.budgets import MessageBudget, StreamBudget
from gateway.entrypoints.app import build
from gateway.entrypoints.server import HttpServer
from gateway.entrypoints.websocket import LongLived
from gateway.entrypoints.wiring import Wiring
from gateway.notice_ports import Notices
from joserfc import jws
from joserfc.jwk import OKPKey
from msgspec import json
from rpc.v1 import conversation_pb2 as pb
from rpc.v1.conversation_pb2_grpc import ConversationServiceServicer, add_ConversationServiceServicer_to_server
from runtime.rpc import Server, abort

from tests.plain_http import plain_client

ISSUER, AUDIENCE, AT = "https://id.example.org/", "everthread", "2026-11-21T03:17:47.123Z"
KEY = OKPKey.generate_key("Ed25519", {"kid": "test"})
MODELS = """
[providers.openai]
base_url = "http://127.0.0.1:1/v1"
[providers.away]
base_url = ""
[models."openai:gpt-4o-mini"]
context_window = 128000
input = 0.15
cached_input = 0.075
output = 0.60
[models."away:model"]
"""


class OneKey:
    """The key the test signs with."""

    async def find(self, algorithm: str, kid: str | None) -> VerificationKey:
        assert (algorithm, kid) == ("EdDSA", "test")
        return KEY

    async def close(self) -> None:
        """Nothing is open."""


def token(user: str, **changes: Any) -> str:
    """A good token of a user, or one with other claims."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": int(time.time()) + 600} | changes
    registry = jws.JWSRegistry(algorithms=["EdDSA"])
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jws.serialize_compact({"alg": "EdDSA", "kid": "test"}, json.encode(claims), KEY, registry=registry)


@dataclass
class Account:
    """What conversation keeps for one thread."""

    owner: str
    thread: pb.Thread
    messages: list[pb.Message] = field(default_factory=list)


class ByHand(ConversationServiceServicer):
    """ConversationService in memory, with its refusals."""

    def __init__(self) -> None:
        self.threads: dict[str, Account] = {}
        self.runs: dict[str, tuple[str, pb.Run]] = {}
        self.keys: dict[tuple[str, str], tuple[bytes, pb.AcceptMessageResponse]] = {}
        self.preferences: dict[str, pb.Preferences] = {}
        self.departed: list[str] = []
        self.accepts = 0
        self.metadata: list[dict[str, str]] = []

    async def _thread(self, context: Any, user_id: str, thread_id: str) -> Account:
        account = self.threads.get(thread_id)
        if account is None or account.owner != user_id:
            await abort(context, grpc.StatusCode.NOT_FOUND, Code.THREAD_NOT_FOUND, "There is no such thread.")
        return account

    async def CreateThread(self, request: pb.CreateThreadRequest, context: Any) -> pb.CreateThreadResponse:
        thread = pb.Thread(
            id=new_id(THREAD), title=request.title, model=request.model, tags=request.tags, created_at=AT, updated_at=AT
        )
        self.threads[thread.id] = Account(request.user_id, thread)
        return pb.CreateThreadResponse(thread=thread)

    async def GetThread(self, request: pb.GetThreadRequest, context: Any) -> pb.GetThreadResponse:
        return pb.GetThreadResponse(thread=(await self._thread(context, request.user_id, request.thread_id)).thread)

    async def ListThreads(self, request: pb.ListThreadsRequest, context: Any) -> pb.ListThreadsResponse:
        if request.cursor and not request.cursor.isdigit():
            await abort(context, grpc.StatusCode.INVALID_ARGUMENT, Code.CURSOR_INVALID, "The cursor is none.")
        mine = [account.thread for account in self.threads.values() if account.owner == request.user_id][::-1]
        if request.HasField("archived"):
            mine = [thread for thread in mine if thread.archived == request.archived]
        begin = int(request.cursor or 0)
        end = begin + request.limit
        return pb.ListThreadsResponse(items=mine[begin:end], next_cursor=str(end) if end < len(mine) else "")

    async def UpdateThread(self, request: pb.UpdateThreadRequest, context: Any) -> pb.UpdateThreadResponse:
        thread = (await self._thread(context, request.user_id, request.thread_id)).thread
        for name in ("title", "model", "archived", "pinned", "starred"):
            if request.HasField(name):
                setattr(thread, name, getattr(request, name))
        if request.HasField("tags"):
            thread.tags[:] = request.tags.values
        return pb.UpdateThreadResponse(thread=thread)

    async def DeleteThread(self, request: pb.DeleteThreadRequest, context: Any) -> pb.DeleteThreadResponse:
        await self._thread(context, request.user_id, request.thread_id)
        del self.threads[request.thread_id]
        return pb.DeleteThreadResponse()

    async def AcceptMessage(self, request: pb.AcceptMessageRequest, context: Any) -> pb.AcceptMessageResponse:
        self.accepts += 1
        self.metadata.append({key: value for key, value in context.invocation_metadata() if isinstance(value, str)})
        account = await self._thread(context, request.user_id, request.thread_id)
        known = self.keys.get((request.user_id, request.idempotency_key)) if request.idempotency_key else None
        if known is not None:
            if known[0] != request.body_hash:
                await abort(
                    context, grpc.StatusCode.FAILED_PRECONDITION, Code.IDEMPOTENCY_MISMATCH, "Same key, other body."
                )
            return known[1]
        asked = pb.Message(
            id=new_id(MESSAGE),
            thread_id=request.thread_id,
            role="user",
            status="complete",
            content=request.content,
            created_at=AT,
        )
        model = request.model or "openai:gpt-4o-mini"
        run = pb.Run(
            id=new_id(RUN),
            thread_id=request.thread_id,
            message_id=new_id(MESSAGE),
            model=model,
            path=request.path,
            status="pending",
            created_at=AT,
        )
        answer = pb.Message(
            id=run.message_id,
            thread_id=request.thread_id,
            role="assistant",
            status="pending",
            model=model,
            run_id=run.id,
            parent_message_id=asked.id,
            created_at=AT,
        )
        account.messages += [asked, answer]
        self.runs[run.id] = (request.user_id, run)
        accepted = pb.AcceptMessageResponse(
            message_id=asked.id, assistant_message_id=answer.id, run_id=run.id, path=request.path
        )
        if request.idempotency_key:
            self.keys[request.user_id, request.idempotency_key] = (request.body_hash, accepted)
        return accepted

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Any) -> pb.ListMessagesResponse:
        account = await self._thread(context, request.user_id, request.thread_id)
        begin = int(request.cursor or 0)
        end = begin + request.limit
        more = end < len(account.messages)
        return pb.ListMessagesResponse(items=account.messages[begin:end], next_cursor=str(end) if more else "")

    async def GetRun(self, request: pb.GetRunRequest, context: Any) -> pb.GetRunResponse:
        owner, run = self.runs.get(request.run_id, ("", pb.Run()))
        if owner != request.user_id:
            await abort(context, grpc.StatusCode.NOT_FOUND, Code.RUN_NOT_FOUND, "There is no such run.")
        message = self.answer_of(run) if run.final_sequence else None
        return pb.GetRunResponse(run=run, message=message)

    async def GetUser(self, request: pb.GetUserRequest, context: Any) -> pb.GetUserResponse:
        preferences = self.preferences.get(request.user_id, pb.Preferences())
        return pb.GetUserResponse(user_id=request.user_id, preferences=preferences, created_at=AT)

    async def UpdatePreferences(
        self, request: pb.UpdatePreferencesRequest, context: Any
    ) -> pb.UpdatePreferencesResponse:
        preferences = self.preferences.setdefault(request.user_id, pb.Preferences())
        for name in ("system_prompt", "default_model", "path"):
            if request.HasField(name):
                setattr(preferences, name, getattr(request, name))
        return pb.UpdatePreferencesResponse(preferences=preferences)

    async def GetRunInput(self, request: pb.GetRunInputRequest, context: Any) -> pb.GetRunInputResponse:
        return await self._not_for_gateways(context)

    async def ListRunResults(self, request: pb.ListRunResultsRequest, context: Any) -> pb.ListRunResultsResponse:
        return await self._not_for_gateways(context)

    async def ListShadows(self, request: pb.ListShadowsRequest, context: Any) -> pb.ListShadowsResponse:
        return await self._not_for_gateways(context)

    async def NoteDeparture(self, request: pb.NoteDepartureRequest, context: Any) -> pb.NoteDepartureResponse:
        self.departed.append(request.run_id)
        return pb.NoteDepartureResponse()

    async def RecordRun(self, request: pb.RecordRunRequest, context: Any) -> pb.RecordRunResponse:
        return await self._not_for_gateways(context)

    async def _not_for_gateways(self, context: Any) -> NoReturn:
        await abort(context, grpc.StatusCode.UNIMPLEMENTED, Code.INTERNAL, "No gateway calls this.")

    def answer_of(self, run: pb.Run) -> pb.Message:
        """The answer's message of a run."""
        return next(m for m in self.threads[run.thread_id].messages if m.id == run.message_id)

    def record(self, state: RunState) -> None:
        """Keep a run's result, as conversation does when it hears of the final snapshot."""
        _, run = self.runs[state.run_id]
        message = self.answer_of(run)
        usage = pb.Usage(
            input_tokens=state.usage.input_tokens,
            output_tokens=state.usage.output_tokens,
            cached_tokens=state.usage.cached_tokens,
            reasoning_tokens=state.usage.reasoning_tokens,
            estimated=state.usage.estimated,
        )
        for kept in (run, message):
            kept.status = state.status
            kept.usage.CopyFrom(usage)
            kept.error_code, kept.error_message = state.error_code or "", state.error_message or ""
            if state.cost_microusd is not None:
                kept.cost_microusd = state.cost_microusd
        message.content, message.parts_json = state.content, json.encode(state.message_parts)
        run.final_sequence, run.attempts, run.ended_at = state.sequence, state.attempt, state.ended_at or AT


@dataclass
class Writer:
    """A worker's pen: claims a run and appends what the test says."""

    bus: MemoryBus
    state: RunState
    claim: Claim
    last: int = 0

    async def write(self, kind: Callable[..., Any], /, **fields: Any) -> None:
        """Append one event."""
        event = kind(
            thread_id=self.state.thread_id,
            run_id=self.state.run_id,
            sequence=self.state.sequence + 1,
            attempt=1,
            at=AT,
            **fields,
        )
        self.last = await self.bus.run_log.append(self.claim, event.sequence, e.encode_event(event))
        self.state.apply(event)

    async def begin(self, message_id: str) -> None:
        """The events before any text."""
        await self.write(e.RunStarted, message_id=message_id, model="openai:gpt-4o-mini", path="durable_event")
        await self.write(e.AttemptStarted, worker="inference-1")
        await self.write(e.StepStarted, step=1, kind="model", name="openai:gpt-4o-mini")

    async def say(self, *deltas: str) -> None:
        """Text."""
        for delta in deltas:
            await self.write(e.TextDelta, part=0, delta=delta)

    async def snapshot(self) -> None:
        """Write the state so far."""
        snapshot = Snapshot(state=self.state, stream_sequence=self.last)
        await self.bus.run_log.snapshot(self.claim, self.state.sequence, encode_snapshot(snapshot))

    async def complete(self) -> None:
        """Usage and the end."""
        usage = Usage(input_tokens=12, output_tokens=5, cached_tokens=2)
        await self.write(e.UsageReported, step=1, of_attempt=1, model="m", usage=usage, cost_microusd=5)
        await self.write(e.StepFinished, step=1, finish_reason="stop")
        await self.write(e.RunCompleted, message_id=self.state.message_id, usage=usage, cost_microusd=5)


@dataclass
class World:
    """Everything, and what tests do with it."""

    broker: Broker
    bus: MemoryBus
    conversation: ByHand
    rpc: Server
    hub: Hub
    wiring: Wiring
    streams: LongLived
    server: HttpServer
    serving: "asyncio.Task[None]"
    client_of_conversation: GrpcConversation
    base: str

    def client(self, user: str = "ada", **claims: Any) -> httpx2.AsyncClient:
        """An HTTP client of one user."""
        headers = {"authorization": f"Bearer {token(user, **claims)}"}
        return plain_client(base_url=self.base, headers=headers, timeout=20)

    async def thread(self, client: httpx2.AsyncClient) -> str:
        """A new thread's id."""
        response = await client.post("/v1/threads", json={"title": "t"})
        assert response.status_code == 201, response.text
        thread_id: str = response.json()["id"]
        return thread_id

    async def ask(self, client: httpx2.AsyncClient, thread_id: str, content: str = "hello") -> Writer:
        """Send a message and take its run."""
        response = await client.post(f"/v1/threads/{thread_id}/messages", json={"content": content})
        assert response.status_code == 202, response.text
        run_id = response.json()["run_id"]
        claim = await self.bus.run_log.claim(thread_id, run_id, worker="inference-1", delivery="d", after=None)
        return Writer(self.bus, RunState(run_id=run_id, thread_id=thread_id), claim)

    async def answered(
        self, client: httpx2.AsyncClient, thread_id: str, deltas: Iterable[str] = ("Hel", "lo\n", "wörld 😀")
    ) -> Writer:
        """A run from the message to its recorded end."""
        writer = await self.ask(client, thread_id)
        await writer.begin(self.conversation.runs[writer.state.run_id][1].message_id)
        await writer.say(*deltas)
        await writer.complete()
        await writer.snapshot()
        self.conversation.record(writer.state)
        return writer

    async def feed(self, user: str, **fields: Any) -> int:
        """One entry in a user's feed."""
        entry = FeedEntry(**({"id": new_id("fct"), "type": "thread.changed", "thread_id": "thr_x", "at": AT} | fields))
        subject = feed_subject(user_id_of(ISSUER, user))
        return await self.bus.publish(subject, json.encode(entry), message_id=entry.id)

    def forget_log(self, run_id: str, *, up_to: int | None = None) -> None:
        """The log of a run expires, from its beginning, up to a stream sequence or whole."""
        self.broker.streams["RUNS"].remove(
            lambda stored: (
                f".{run_id}." in stored.entry.subject and (up_to is None or stored.entry.stream_sequence <= up_to)
            )
        )

    def forget_log_keeping_snapshot(self, run_id: str, up_to: int) -> None:
        """The events of a run expire up to a stream sequence; its snapshot, which is younger, does not."""
        self.broker.streams["RUNS"].remove(
            lambda stored: stored.entry.subject.endswith(f".{run_id}.event") and stored.entry.stream_sequence <= up_to
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds; fails after ten seconds."""
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        """Stop everything."""
        self.streams.drain()
        self.server.stop()
        await self.serving
        await self.hub.close()
        await self.client_of_conversation.close()
        await self.rpc.stop(0)
        await self.bus.drain()
        self.broker.close()


def models() -> Registry:
    """One model that can be asked and one whose provider has no address."""
    return load_registry({"OPENAI_BASE_URL": "x"}, MODELS)


async def start_world(
    *,
    heartbeat: float = 10.0,
    ring_bytes: int = 262_144,
    piece_bytes: int = 65_536,
    messages: MessageBudget | None = None,
    streams_per_user: int = 2000,
    origins: tuple[str, ...] = (),
    trace_viewer_url: str | None = None,
) -> World:
    """One gateway and what is behind it."""
    broker = Broker()
    bus = MemoryBus("gateway-1", broker)
    conversation = ByHand()  # type: ignore[abstract]  # gRPC itself refuses the calls that these tests do not make
    rpc = Server()
    add_ConversationServiceServicer_to_server(conversation, rpc.grpc)
    port = await rpc.start("127.0.0.1", 0)
    client = GrpcConversation(f"127.0.0.1:{port}", deadline=5)
    hub = Hub(bus, ring_bytes=ring_bytes, piece_bytes=piece_bytes)

    async def readiness() -> tuple[bool, dict[str, bool]]:
        return bus.connected, {"nats": bus.connected}

    wiring = Wiring(
        conversation=client,
        log=bus.run_log,
        viewers=hub,
        authenticator=TokenAuthenticator(OneKey(), issuer=ISSUER, audience=AUDIENCE),
        models=models(),
        readiness=readiness,
        messages=messages or MessageBudget(per_second=1000, burst=1000),
        streams=StreamBudget(per_user=streams_per_user),
        origins=list(origins),
        trace_viewer_url=trace_viewer_url,
        notices=Notices(
            feeds=FeedUnread(bus),
            webhooks=WebhookRegistry(bus),
            deliveries=DeliveryRegistry(bus),
            browsers=BrowserRegistry(bus),
        ),
    )
    app, streams = build(wiring, version="0", heartbeat=heartbeat)
    server = HttpServer(app, "127.0.0.1", 0, grace=2)
    http_port = server.bind()
    serving = asyncio.create_task(server.serve())
    await server.wait_started()
    base = f"http://127.0.0.1:{http_port}"
    return World(broker, bus, conversation, rpc, hub, wiring, streams, server, serving, client, base)
