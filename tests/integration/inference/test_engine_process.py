"""Steps and sizes on a real worker process: tools to the micro-dollar, large messages and answers with bounded memory."""

import asyncio
from pathlib import Path

from contracts.parts import ToolCallPart
from contracts.run_state import Snapshot, encode_snapshot

from tests.integration.inference.conftest import NewRun
from tests.integration.inference.worker_processes import Pair
from tests.upstream import expected_text


async def test_tools_by_a_real_provider_stream(pair: Pair, new_run: NewRun) -> None:
    content = (
        'tokens=5 call=calculator:{"expression":"6*7"} call=time:{"timezone":"Europe/Rome"} then '
        'call=calculator:{"expression":"2**10"} then tokens=7 seed=3'
    )
    run = await new_run(content, model="openai:large")
    state = await run.ended()
    assert (state.status, state.error_message, state.content) == ("complete", None, expected_text(content))
    calls = [part for part in state.message_parts if isinstance(part, ToolCallPart)]
    assert [call.state for call in calls] == ["completed"] * 3
    assert calls[0].output == {"expression": "6*7", "result": 42}
    made = [call for call in await asyncio.to_thread(pair.upstream.calls) if call["content"] == content]
    assert [len(call["body"]["messages"]) for call in made] == [2, 5, 7]
    assert {tool["function"]["name"] for tool in made[0]["body"]["tools"]} == {"time", "calculator"}
    told = [sum(4 + len(str(m["content"] or "").encode()) // 4 for m in call["body"]["messages"]) for call in made]
    assert [entry.usage.input_tokens for entry in state.ledger] == told
    assert [entry.usage.output_tokens for entry in state.ledger] == [5, 0, 7]
    assert state.cost_microusd == sum(told) + 2 * 12


async def test_a_message_of_200_kb(new_run: NewRun) -> None:
    content = "A long message, 200 KB of it. " * 7000
    run = await new_run(content, model="openai:large")
    state = await run.ended()
    assert (state.status, state.error_message, state.content) == ("complete", None, expected_text(content))


def resident(pair: Pair) -> int:
    """MiB of both workers."""
    found = 0
    for worker in pair.workers:
        assert worker.process is not None
        status = Path(f"/proc/{worker.process.pid}/status").read_text("utf-8")
        found += int(status.partition("VmRSS:")[2].split()[0]) // 1024
    return found


async def test_an_answer_of_100_000_tokens(pair: Pair, new_run: NewRun) -> None:
    before = resident(pair)
    content = "tokens=100000 seed=8"
    run = await new_run(content, model="openai:large")
    state = await run.ended(within=60)
    assert (state.status, state.error_message, state.content) == ("complete", None, expected_text(content))
    assert len(encode_snapshot(Snapshot(state=state, stream_sequence=1))) < 8 * 1024 * 1024
    assert resident(pair) - before < 200
