"""Deaths at every write of a run with tools: finished steps are not repeated, no call of a tool that the model asked for is lost
and each is repeated with its key, there is one end, and the bill has every call."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import msgspec
import pytest
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.budgets import BudgetLimits, DaySpending, day_key, decode_spending
from contracts.parts import ToolCallPart
from contracts.registry import Continuation
from contracts.run_state import RunState
from contracts.subjects import budget_subject, flag_subject
from contracts.topology import BUDGETS, FLAGS
from inference.adapters.bucket_budgets import LIMITS_KEY, BucketBudgets

from tests.unit.inference.scripted import INPUT_TOKENS, ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.workers import USER, DyingLog, Run, World, new_world
from tests.upstream import expected_text

AGENTS = agents_of()
CONTENT = (
    'tokens=3 call=note:{"text":"a"} call=note:{"text":"b"} then tokens=2 seed=1 call=fail:{} then tokens=4 seed=2'
)
MODEL_STEPS = 3
WRITES = 46
"""The most that an attempt writes for CONTENT, and a few more."""


@dataclass
class Outside:
    """What outlives a worker: the provider and the services behind tools."""

    models: ScriptedModels
    tools: ToolCalls


class Purse:
    """The user's budget, in the broker as it is: each worker asks it for itself."""

    def __init__(self, broker: Broker) -> None:
        self._bus, self._watched = MemoryBus("budgets", broker), AsyncExitStack()

    async def __aenter__(self) -> Self:
        limits = msgspec.json.encode(BudgetLimits(default=1_000_000))
        await self._bus.compare_and_set(FLAGS.name, flag_subject(LIMITS_KEY), limits, expected=0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._watched.aclose()

    async def of_a_worker(self) -> BucketBudgets:
        budgets = BucketBudgets(self._bus)
        await self._watched.enter_async_context(budgets.watching())
        return budgets

    async def day(self) -> DaySpending:
        last = await self._bus.last_of(BUDGETS.name, budget_subject(day_key(USER, datetime.now(UTC))))
        assert last is not None
        return decode_spending(last.data)


async def worker_that_dies(
    world: World, outside: Outside, continuation: Continuation, writes: int, stored: bool, budgets: BucketBudgets
) -> DyingLog:
    logs: list[DyingLog] = []

    def mortal(inner: object) -> DyingLog:
        logs.append(DyingLog(inner, writes, stored=stored))  # type: ignore[arg-type]  # the log that the world passes
        return logs[0]

    tools = ToolsByHand(outside.tools.tools(world.clock.now), AGENTS)
    await world.worker(
        outside.models, continuation=continuation, agents=AGENTS, tools=tools, log=mortal, budgets=budgets
    )
    return logs[0]


async def check(run: Run, outside: Outside, deaths: int, day: DaySpending) -> RunState:
    state, events = await run.state(), await run.events()
    assert (state.status, state.content) == ("complete", expected_text(CONTENT))
    assert [isinstance(event, e.Terminal) for event in events] == [False] * (len(events) - 1) + [True]
    calls = [part for part in state.message_parts if isinstance(part, ToolCallPart)]
    assert [(call.name, call.input, call.state) for call in calls] == [
        ("note", {"text": "a"}, "completed"),
        ("note", {"text": "b"}, "completed"),
        ("fail", {}, "error"),
    ]
    assert len(outside.models.calls) <= MODEL_STEPS + deaths
    keys = Counter(outside.tools.keys)
    notes = [step for step in state.steps if step.kind == "tool" and step.name == "note"]
    assert set(keys) == {f"{run.command.run_id}:{step.step}" for step in notes}
    assert max(keys.values()) <= 1 + deaths
    results = Counter(event.tool_call_id for event in events if isinstance(event, e.ToolResult))
    assert set(results.values()) == {1}
    started = {
        (event.attempt, event.step) for event in events if isinstance(event, e.StepStarted) and event.kind == "model"
    }
    assert Counter((entry.attempt, entry.step) for entry in state.ledger) == dict.fromkeys(started, 1)
    assert state.cost_microusd == sum(entry.cost_microusd or 0 for entry in state.ledger) == day.spent == day.taken
    whole = [entry for entry in state.ledger if not entry.usage.estimated]
    assert all(entry.usage.input_tokens == INPUT_TOKENS for entry in whole)
    assert await run.snapshot() == state
    return state


async def case(continuation: Continuation, deaths: tuple[int, ...], *, stored: bool) -> int:
    """Workers die at these writes, one after another, and one more goes on; how many really died."""
    async with new_world() as world, Purse(world.broker) as purse:
        world.inputs.content = CONTENT
        outside = Outside(ScriptedModels(), ToolCalls())
        run = await world.run()
        died = 0
        for writes in deaths:
            log = await worker_that_dies(world, outside, continuation, writes, stored, await purse.of_a_worker())
            dead, ended = asyncio.create_task(log.died.wait()), asyncio.create_task(run.settled())
            await asyncio.wait({dead, ended}, return_when=asyncio.FIRST_COMPLETED)
            died += dead.done()
            await world.kill_last()
            for task in (dead, ended):
                task.cancel()
        await world.worker(
            outside.models,
            continuation=continuation,
            agents=AGENTS,
            tools=ToolsByHand(outside.tools.tools(world.clock.now), AGENTS),
            budgets=await purse.of_a_worker(),
        )
        await run.settled()
        await check(run, outside, died, await purse.day())
        return died


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("continuation", ["prefix", "retract"])
async def test_death_at_every_write(continuation: Continuation, stored: bool) -> None:
    died = await asyncio.gather(*(case(continuation, (writes,), stored=stored) for writes in range(1, WRITES)))
    assert sum(died) >= 30


async def test_two_deaths_in_a_row() -> None:
    pairs = [(first, second) for first in range(3, WRITES - 10, 4) for second in range(3, WRITES - 10, 7)]
    await asyncio.gather(*(case("prefix", pair, stored=True) for pair in pairs))
