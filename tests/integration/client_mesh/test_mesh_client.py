"""libs/client over a real nats-server with the services' permissions: appends, logs, tools as inference finds them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from bus.api import Delivery, Done, Outcome
from bus.jetstream import JetStreamBus, connect
from contracts import events as e
from contracts.commands import APPEND_KEY, REPLY_TO, AppendOutcome, AppendToThread
from contracts.ids import MESSAGE, RUN, THREAD, new_id, user_id_of
from contracts.topology import APPEND
from contracts.usage import Usage
from everthread_client import RejectedError, UnreachableError
from everthread_client.mesh import Mesh
from everthread_client.offering import ToolCall, ToolFailedError, offer_of
from inference.tools.adapters.mesh_tools import MeshTools
from inference.tools.domain.outcome import Output
from inference.tools.domain.outcome import ToolFailedError as Failed
from inference.tools.ports import ToolContext
from nats.aio.client import Client

from tests.servers import NatsServer

USER = user_id_of("test", "ada")


@dataclass
class Conversation:
    """Conversation by hand: answers what a test says, to the first `silent` deliveries nothing."""

    bus: JetStreamBus
    answer: Callable[[AppendToThread], AppendOutcome]
    silent: int = 0
    heard: list[tuple[str, str, AppendToThread]] = field(default_factory=list)

    async def __call__(self, delivery: Delivery) -> Outcome:
        command = msgspec.json.decode(delivery.data, type=AppendToThread)
        self.heard.append((delivery.subject, delivery.headers[APPEND_KEY], command))
        if len(self.heard) > self.silent:
            await self.bus.tell(delivery.headers[REPLY_TO], msgspec.json.encode(self.answer(command)))
        return Done()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    started = NatsServer(tmp_path_factory.mktemp("nats"))
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def conversation(server: NatsServer) -> AsyncIterator[Conversation]:
    bus = await connect(server.url("conversation"), instance="conversation-1")
    await bus.reconcile()
    made = Conversation(bus, lambda _: AppendOutcome(accepted=True, message_id="m1"))
    consuming = asyncio.create_task(bus.consume(APPEND, made, concurrency=4))
    yield made
    bus.stop_consuming()
    await consuming
    await bus.drain()


@pytest.fixture
async def mesh(server: NatsServer, conversation: Conversation) -> AsyncIterator[Mesh]:
    async with await Mesh.connect(server.url("app"), service="orders") as connected:
        yield connected


async def test_an_append_and_what_became_of_it(mesh: Mesh, conversation: Conversation) -> None:
    thread = new_id(THREAD)
    outcome = await mesh.append(thread, "Left Rome.", user_id=USER, event="order.shipped", data={"n": 7}, key="k 1.2")
    assert outcome.message_id == "m1"
    [(subject, key, command)] = conversation.heard
    assert (subject, key) == (f"cmd.thread.{thread}.append", "k 1.2")
    assert command == AppendToThread(
        user_id=USER, service="orders", text="Left Rome.", event="order.shipped", data={"n": 7}
    )


async def test_a_rejected_append_says_why(mesh: Mesh, conversation: Conversation) -> None:
    conversation.answer = lambda _: AppendOutcome(accepted=False, code="thread_not_found", detail="No such thread.")
    with pytest.raises(RejectedError, match="No such thread") as rejected:
        await mesh.ask(new_id(THREAD), "Say hello.", user_id=USER)
    assert rejected.value.code == "thread_not_found"


async def test_an_outcome_that_was_not_heard_is_asked_for_again(
    mesh: Mesh, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everthread_client.appending.ATTEMPT_SECONDS", 0.2)
    conversation.silent = 2
    assert (await mesh.append(new_id(THREAD), "Once.", user_id=USER, key="k")).accepted
    assert [key for _, key, _ in conversation.heard] == ["k"] * 3
    conversation.silent = 99
    with pytest.raises(UnreachableError, match="may be carried out"):
        await mesh.append(new_id(THREAD), "Never heard.", user_id=USER, patience=0.3)


async def test_a_run_is_followed_from_any_place_while_it_is_written(server: NatsServer, mesh: Mesh) -> None:
    worker = await connect(server.url("inference"), instance="inference-1")
    thread, run = new_id(THREAD), new_id(RUN)
    claim = await worker.run_log.claim(thread, run, worker="w", delivery="d", after=None)
    written = 0

    async def write(kind: type[Any], /, **fields: Any) -> None:
        nonlocal written
        written += 1
        event = kind(thread_id=thread, run_id=run, sequence=written, attempt=1, at="2026-11-21T03:17:47.123Z", **fields)
        await worker.run_log.append(claim, written, e.encode_event(event))

    async def read(after: int) -> list[e.RunEvent]:
        return [event async for event in mesh.follow(thread, run, after=after)]

    await write(e.RunStarted, message_id=new_id(MESSAGE), model="m", path="durable_event")
    reading = [asyncio.create_task(read(after)) for after in (0, 1, 40)]
    for number in range(700):
        await write(e.TextDelta, part=0, delta=f"{number} ")
    reading.append(asyncio.create_task(read(5)))
    await write(e.RunCompleted, message_id=new_id(MESSAGE), usage=Usage(), cost_microusd=None)
    logs = [*(await asyncio.gather(*reading)), await read(0)]
    assert [[event.sequence for event in log] for log in logs] == [
        list(range(after + 1, written + 1)) for after in (0, 1, 40, 5, 0)
    ]
    await worker.drain()


class Parcel(msgspec.Struct):
    """Something on its way."""

    number: str
    kilos: float = 1.0


async def test_a_tool_of_few_lines_is_found_and_called_by_inference(server: NatsServer, mesh: Mesh) -> None:
    keys: list[str] = []

    @mesh.tool(side_effects=False, timeout=5, roles=["support"])
    async def find_parcel(
        number: Annotated[str, msgspec.Meta(description="As on the label.")],
        call: ToolCall,
        *,
        hints: tuple[Parcel, ...] = (),
    ) -> Parcel:
        """Where a parcel is."""
        keys.append(call.key)
        await call.progress({"looked_at": len(hints)})
        if number == "lost":
            raise ToolFailedError("It is lost; ask again tomorrow.", retryable=True)
        return Parcel(number=number, kilos=sum(hint.kilos for hint in hints))

    service = await mesh.register()
    client = Client()
    await client.connect(server.url("inference"), inbox_prefix=b"_INBOX_inference")
    [tool] = await MeshTools(client).tools()
    assert (tool.spec.name, tool.spec.description, tool.spec.side_effects) == (
        "find_parcel",
        "Where a parcel is.",
        False,
    )
    assert (tool.spec.timeout, tool.spec.roles) == (5.0, frozenset({"support"}))
    assert tool.spec.input_schema["properties"]["number"] == {"description": "As on the label.", "type": "string"}
    assert tool.spec.input_schema["required"] == ["number"]
    progress: list[Any] = []
    context = ToolContext(
        run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id="u", progress=progress.append
    )
    found = await tool.call({"number": "7", "hints": [{"number": "1", "kilos": 2}]}, context)
    assert (found, progress, keys) == (Output({"number": "7", "kilos": 2.0}), [{"looked_at": 1}], ["r:1"])
    for arguments, sentence, retryable in (
        ({"number": "lost"}, "lost; ask again", True),
        ({"number": 7}, "do not fit", False),
    ):
        with pytest.raises(Failed, match=sentence) as failed:
            await tool.call(arguments, context)
        assert failed.value.retryable == retryable
    await service.stop()
    await client.close()


def test_a_function_that_cannot_be_a_tool_is_refused_with_what_is_missing() -> None:
    async def silent(number: str) -> str:
        return number

    async def untyped(number) -> str:  # type: ignore[no-untyped-def]  # what the test is about
        """Does it."""
        return str(number)

    for function, sentence in ((silent, "neither a docstring"), (untyped, "needs a name and a type")):
        with pytest.raises(TypeError, match=sentence):
            offer_of(function)


async def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        await asyncio.wait_for(Mesh.connect("nats://app:x@127.0.0.1:1", service="orders"), 10)
