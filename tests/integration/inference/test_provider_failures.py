"""One worker process and a scripted upstream that limits, breaks off, hangs or is told to stop: how each run ends."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from bus.jetstream import JetStreamBus, connect
from contracts import events as e
from contracts.codes import RunFailure

from tests.integration.inference.worker_processes import Conversation, Pair, Run, command_for, new_pair
from tests.servers import NatsServer
from tests.upstream import UpstreamProcess, expected_reasoning, expected_text

IDLE_SECONDS = 2


@pytest.fixture(scope="module")
def impatient_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A worker of its own broker, which gives a silent provider two seconds and tries again within five."""
    home = tmp_path_factory.mktemp("impatient")
    nats = NatsServer(home / "nats")
    nats.start()
    try:
        with UpstreamProcess() as upstream:
            pair = new_pair(home, nats, upstream)
            del pair.workers[1:]
            pair.workers[0].environment |= {
                "EVERTHREAD_UPSTREAM_IDLE_SECONDS": str(IDLE_SECONDS),
                "EVERTHREAD_UPSTREAM_RETRY_SECONDS": "5",
            }
            yield pair
            pair.workers[0].stop()
    finally:
        nats.stop()


@pytest.fixture
async def impatient_bus(impatient_pair: Pair) -> AsyncIterator[JetStreamBus]:
    bus = await connect(impatient_pair.nats.url(), instance="test")
    await bus.reconcile()
    await asyncio.to_thread(impatient_pair.wait_ready)
    yield bus
    await bus.drain()


@pytest.fixture
async def context(impatient_pair: Pair) -> AsyncIterator[Conversation]:
    service = Conversation(impatient_pair.conversation_port)
    await service.start()
    yield service
    await service.stop()


async def ask(bus: JetStreamBus, pair: Pair, context: Conversation, content: str, model: str = "openai:retract") -> Run:
    run = Run(bus, pair, command_for(model))
    context.contents[run.command.run_id] = content
    await run.publish()
    return run


async def calls_for(pair: Pair, content: str) -> list[dict[str, Any]]:
    calls = await asyncio.to_thread(pair.upstream.calls)
    return [call for call in calls if call["content"] == content]


@pytest.mark.parametrize(
    "content",
    [
        "tokens=15 seed=21 status=429 times=1 retry_after=1",
        "tokens=15 seed=22 status=503 times=2",
        "tokens=15 seed=23 status=429 times=1 retry_after=date",
    ],
    ids=["429", "503", "429-date"],
)
async def test_a_limit_that_passes_is_waited_for(
    content: str, impatient_pair: Pair, impatient_bus: JetStreamBus, context: Conversation
) -> None:
    state = await (await ask(impatient_bus, impatient_pair, context, content)).ended()
    assert (state.status, state.content) == ("complete", expected_text(content))
    calls = await calls_for(impatient_pair, content)
    refused = 2 if "times=2" in content else 1
    assert len(calls) == refused + 1
    assert [entry.usage.output_tokens for entry in state.ledger] == [15], "a refused call is not billed"


@pytest.mark.parametrize(
    ("content", "code", "kept"),
    [
        ("tokens=40 seed=31 cut_after=12 cut=no_finish", RunFailure.UPSTREAM_INCOMPLETE, 12),
        ("tokens=40 seed=32 cut_after=12 cut=mid_utf8", RunFailure.UPSTREAM_INCOMPLETE, 12),
        ("tokens=40 seed=33 cut_after=12 cut=mid_json", RunFailure.UPSTREAM_INCOMPLETE, 12),
        ("tokens=40 seed=34 cut_after=12 cut=reset", RunFailure.UPSTREAM_INCOMPLETE, 12),
        ("tokens=40 seed=35 error_after=12", RunFailure.UPSTREAM_UNAVAILABLE, 12),
        ("tokens=40 seed=36 stall_after=12", RunFailure.UPSTREAM_INCOMPLETE, 12),
        ("tokens=40 seed=37 hang", RunFailure.UPSTREAM_UNAVAILABLE, 0),
        ("tokens=40 seed=38 status=401", RunFailure.UPSTREAM_REJECTED, 0),
        ("tokens=40 seed=39 error_body", RunFailure.UPSTREAM_UNAVAILABLE, 0),
        ("tokens=12 seed=40 tool=time", RunFailure.UPSTREAM_REJECTED, 12),
        ("tokens=12 seed=41 finish=content_filter", RunFailure.REFUSED, 12),
    ],
    ids=lambda value: value.split("seed=")[1].split(" ", 1)[1] if isinstance(value, str) and "seed=" in value else None,
)
async def test_a_provider_that_fails_ends_the_run_with_what_was_written(
    content: str,
    code: RunFailure,
    kept: int,
    impatient_pair: Pair,
    impatient_bus: JetStreamBus,
    context: Conversation,
) -> None:
    run = await ask(impatient_bus, impatient_pair, context, content)
    state = await run.ended()
    assert (state.status, state.error_code) == ("error", code)
    whole = expected_text(content.replace("tokens=40", "tokens=12"))
    assert state.content == (whole if kept else "")
    assert len(state.ledger) == (1 if kept else 0)
    assert state.error_message
    calls = await calls_for(impatient_pair, content)
    assert len(calls) == 1 or not kept, "what was shown is never asked for again"
    if "stall" in content or "hang" in content:
        assert all(call["disconnected_at"] is not None for call in calls)


async def test_reasoning_is_a_part_of_its_own(
    impatient_pair: Pair, impatient_bus: JetStreamBus, context: Conversation
) -> None:
    content = "tokens=10 reasoning=6 seed=51 usage=groq"
    run = await ask(impatient_bus, impatient_pair, context, content)
    state = await run.ended()
    said = "".join(event.delta for event in await run.events() if isinstance(event, e.ReasoningDelta))
    assert (said, state.content) == (expected_reasoning(content), expected_text(content))
    assert (state.usage.output_tokens, state.usage.reasoning_tokens, state.usage.estimated) == (16, 6, False)


async def test_stop_is_heard_while_the_model_speaks_and_while_it_says_nothing(
    impatient_pair: Pair, impatient_bus: JetStreamBus, context: Conversation
) -> None:
    speaking, silent = "tokens=2000 rate=50 seed=61", "tokens=20 seed=62 delay=1.5"
    for content in (speaking, silent):
        run = await ask(impatient_bus, impatient_pair, context, content)
        if content == speaking:
            await run.until_text(60)
        else:
            async with asyncio.timeout(10):
                while not await calls_for(impatient_pair, content):
                    await asyncio.sleep(0.02)
        await run.cancel()
        state = await run.ended()
        assert (state.status, state.cancelled_by) == ("cancelled", run.command.user_id)
        assert expected_text(content).startswith(state.content)
        assert [entry.usage.estimated for entry in state.ledger] == [True]
        async with asyncio.timeout(5):
            while (await calls_for(impatient_pair, content))[0]["disconnected_at"] is None:
                await asyncio.sleep(0.02)


async def test_stop_that_came_before_any_worker_makes_no_call(
    impatient_pair: Pair, impatient_bus: JetStreamBus, context: Conversation
) -> None:
    worker = impatient_pair.workers[0]
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == 0
    content = "tokens=20 seed=71"
    run = await ask(impatient_bus, impatient_pair, context, content)
    await run.cancel()
    await asyncio.to_thread(impatient_pair.wait_ready)
    state = await run.ended()
    assert (state.status, state.content, state.ledger) == ("cancelled", "", [])
    assert await calls_for(impatient_pair, content) == []


async def test_a_very_long_answer_is_whole(
    impatient_pair: Pair, impatient_bus: JetStreamBus, context: Conversation
) -> None:
    content = "tokens=100000 seed=81"
    run = await ask(impatient_bus, impatient_pair, context, content)
    state = await run.ended(within=60)
    assert state.status == "complete"
    assert state.content == expected_text(content)
    assert state.usage.output_tokens == 100_000
