"""Two worker processes: one call however often a command comes, and nothing lost when a worker, the broker or conversation
is away."""

import asyncio
import os
import signal
from collections import Counter
from typing import Any

import pytest
from bus.api import Entry
from contracts import events as e
from contracts.subjects import live, run_subject

from tests.integration.inference.conftest import NewRun
from tests.integration.inference.worker_processes import Conversation, Pair, Run
from tests.upstream import expected_text


def calls_for(pair: Pair, content: str) -> list[dict[str, Any]]:
    return [call for call in pair.upstream.calls() if call["content"] == content]


async def first_call(pair: Pair, content: str) -> dict[str, Any]:
    return (await asyncio.to_thread(calls_for, pair, content))[0]


async def check(run: Run, content: str, *, attempts: int) -> None:
    """Whole, said once, and one ledger entry for each call."""
    state = await run.ended()
    assert (state.status, state.error_message, state.content) == ("complete", None, expected_text(content))
    assert state.attempt == attempts
    started = [event.attempt for event in await run.events() if isinstance(event, e.StepStarted)]
    assert Counter(entry.attempt for entry in state.ledger) == Counter(started)


async def test_five_copies_of_a_command_make_one_call(pair: Pair, new_run: NewRun) -> None:
    content = "tokens=60 rate=60 seed=1"
    run = await new_run(content, copies=5)
    await check(run, content, attempts=1)
    assert len(calls_for(pair, content)) == 1


async def test_many_runs_at_once_are_shared_and_whole(pair: Pair, new_run: NewRun) -> None:
    contents = [f"tokens=40 rate=80 seed={100 + number}" for number in range(30)]
    runs = [await new_run(content, copies=2) for content in contents]
    for run, content in zip(runs, contents, strict=True):
        await check(run, content, attempts=1)
    assert {len(calls_for(pair, content)) for content in contents} == {1}


async def test_conversation_away_for_a_while(conversation: Conversation, pair: Pair, new_run: NewRun) -> None:
    await conversation.stop()
    content = "tokens=10 seed=2"
    run = await new_run(content)
    async with asyncio.timeout(10):
        while (await run.state()).attempt == 0:
            await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    assert calls_for(pair, content) == []
    await conversation.start()
    await check(run, content, attempts=1)


@pytest.mark.parametrize("model", ["openai:prefix", "openai:retract"])
async def test_killed_in_the_middle(model: str, pair: Pair, new_run: NewRun) -> None:
    content = f"tokens=100 rate=50 seed={3 if model == 'openai:prefix' else 4}"
    run = await new_run(content, model=model)
    await run.until_text(60)
    (await run.holder()).signal(signal.SIGKILL)
    await check(run, content, attempts=2)
    assert len(calls_for(pair, content)) == 2


async def test_stopped_past_its_lease_and_woken(pair: Pair, new_run: NewRun) -> None:
    content = "tokens=620 rate=50 seed=5"
    run = await new_run(content)
    await run.until_text(60)
    stopped = await run.holder()
    shown: list[bytes] = []

    def heard(entry: Entry) -> None:
        shown.append(entry.data)

    subject = live(run_subject(run.command.thread_id, run.command.run_id, "event"))
    async with run.bus.watch_live(subject, heard):
        stopped.signal(signal.SIGSTOP)
        await run.until_text(60, attempt=2)
        assert (await run.holder()) is not stopped
        stopped.signal(signal.SIGCONT)
        async with asyncio.timeout(10):
            while (await first_call(pair, content))["disconnected_at"] is None:
                await asyncio.sleep(0.05)
        await run.cancel()
        state = await run.ended()
    assert (state.status, state.attempt) == ("cancelled", 2)
    assert expected_text(content).startswith(state.content)
    attempts = [event.attempt for event in await run.events()]
    assert attempts == sorted(attempts)
    stored = {e.encode_event(event) for event in await run.events()}
    assert set(shown) <= stored
    assert len(calls_for(pair, content)) == 2
    assert stopped.is_ready


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(1, id="within the lease"), pytest.param(9, id="beyond it", marks=pytest.mark.slow)],
)
async def test_the_broker_killed_and_started_again(seconds: int, pair: Pair, new_run: NewRun) -> None:
    """Beyond the lease every command is delivered again, to whichever worker is back first: it must ask before it calls, also
    where the other one is said to be dead since it gave up a connection that the broker had accepted already."""
    contents = [f"tokens={150 * (seconds + 1) // 2} rate=50 seed={200 * seconds + number}" for number in range(8)]
    runs = [await new_run(content) for content in contents]
    for run in runs:
        await run.until_text(60)
    pair.nats.kill()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(pair.nats.start)
    for run, content in zip(runs, contents, strict=True):
        await check(run, content, attempts=1)
    assert {len(calls_for(pair, content)) for content in contents} == {1}


async def test_told_to_stop_in_the_middle(pair: Pair, new_run: NewRun) -> None:
    content = "tokens=200 rate=50 seed=7"
    run = await new_run(content)
    await run.until_text(60)
    leaving = await run.holder()
    leaving.signal(signal.SIGTERM)
    assert await leaving.ended() == os.EX_OK, leaving.text()[-3000:]
    await check(run, content, attempts=2)
    first, second = calls_for(pair, content)
    assert first["disconnected_at"] is not None
    assert second["finished_at"] is not None


async def test_no_secret_in_the_logs(pair: Pair) -> None:
    for worker in pair.workers:
        assert "sk-canary" not in worker.text()
        assert "inference.started" in worker.text()
