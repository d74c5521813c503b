"""Budgets round every model call, and answers as large as they may be."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from bus.memory import Broker, MemoryBus
from contracts.budgets import BudgetLimits, DaySpending, Reservation, day_key, decode_spending
from contracts.codes import RunFailure
from contracts.registry import Continuation
from contracts.run_state import Snapshot, encode_snapshot
from contracts.subjects import budget_subject, flag_subject
from contracts.topology import BUDGETS, FLAGS
from inference.adapters.bucket_budgets import LIMITS_KEY, BucketBudgets
from inference.agents.domain.config import read_agents

from tests.unit.inference.scripted import INPUT_TOKENS, ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import USER, FakeModels, Run, World
from tests.upstream import expected_text

AGENTS = agents_of(big="[limits]\ntokens = 10_000_000")
SMALL = read_agents({"default.toml": 'name = "default"\nsystem_prompt = "Help."\n[limits]\ntokens = 100'})


@dataclass
class Purse:
    """Budgets of one user: `allow` is what each reservation is answered with, in order, then no limit."""

    allow: list[int | None]
    reserved: list[tuple[str, str, int]] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)

    async def reserve(self, user_id: str, key: str, estimate_microusd: int) -> int | None:
        self.reserved.append((user_id, key, estimate_microusd))
        return self.allow.pop(0) if self.allow else None

    async def settle(self, user_id: str, key: str, spent_microusd: int) -> None:
        assert key not in self.settled
        self.settled[key] = spent_microusd

    async def correct(self, user_id: str, key: str, cost_microusd: int) -> None:
        self.settled[key] = cost_microusd


async def begin(world: World, purse: Purse, content: str) -> tuple[Run, ScriptedModels]:
    models = ScriptedModels()
    world.inputs.content = content
    tools = ToolsByHand(ToolCalls().tools(world.clock.now), AGENTS)
    await world.worker(models, agents=AGENTS, tools=tools, budgets=purse)
    return await world.run(), models


async def test_each_call_is_reserved_before_and_settled_after(world: World) -> None:
    purse = Purse([None, 10_000])
    run, _ = await begin(world, purse, 'call=note:{"text":"a"} then tokens=4')
    state = await run.ended()
    assert state.status == "complete"
    assert [user for user, _, _ in purse.reserved] == [USER, USER]
    assert all(estimate > 0 for _, _, estimate in purse.reserved)
    assert list(purse.settled.values()) == [INPUT_TOKENS, INPUT_TOKENS + 2 * 4]
    assert list(purse.settled) == [key for _, key, _ in purse.reserved]
    assert sum(purse.settled.values()) == state.cost_microusd


async def test_a_call_that_cannot_be_paid_is_not_made(world: World) -> None:
    purse = Purse([None, 0])
    run, models = await begin(world, purse, 'tokens=3 call=note:{"text":"a"} then tokens=4')
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.error_code, len(models.calls), state.content) == (
        RunFailure.BUDGET_REACHED,
        1,
        expected_text("tokens=3"),
    )


async def test_what_was_set_aside_for_a_call_that_is_not_made_is_given_back(world: World) -> None:
    """As with an agent whose own limit is narrower than the budget: else half of what the user has left would count as spent."""
    purse = Purse([10_000])
    world.inputs.content = "A long question. " * 100
    await world.worker(ScriptedModels(), agents=SMALL, budgets=purse)
    state = await (await world.run()).ended()
    assert (state.error_code, state.ledger) == (RunFailure.TOKEN_LIMIT, [])
    [(_, key, _)] = purse.reserved
    assert purse.settled == {key: 0}


async def test_a_call_is_stopped_where_the_money_ends(world: World) -> None:
    purse = Purse([1500])
    run, _ = await begin(world, purse, "tokens=900")
    state = await run.ended()
    check_one_end(state, await run.events())
    assert state.error_code == RunFailure.BUDGET_REACHED
    assert state.cost_microusd in (1499, 1500)
    assert list(purse.settled.values()) == [state.cost_microusd]
    assert expected_text("tokens=900").startswith(state.content)


@pytest.mark.parametrize(
    "pieces", [["x" * 9000], ["ï"] * 4000, ["漢字"] * 2000], ids=["at once", "two bytes", "six bytes"]
)
async def test_the_bound_is_exact_however_the_text_comes(world: World, pieces: list[str]) -> None:
    await world.worker(FakeModels(pieces=pieces), budgets=Purse([1500]))
    state = await (await world.run()).ended()
    assert (state.error_code, state.cost_microusd) in (
        (RunFailure.BUDGET_REACHED, 1499),
        (RunFailure.BUDGET_REACHED, 1500),
    )
    assert "".join(pieces).startswith(state.content)


async def test_a_provider_that_takes_a_limit_is_told_it(world: World) -> None:
    """It counts tokens in its own way, so it may stop before the estimate says so."""
    models = ScriptedModels()
    world.inputs.content = "tokens=40 finish=length"
    await world.worker(models, budgets=Purse([1500]), max_output_tokens=4000)
    state = await (await world.run()).ended()
    [call] = models.calls
    assert call.max_output_tokens is not None
    assert 700 < call.max_output_tokens < 750
    assert (state.error_code, state.content) == (RunFailure.BUDGET_REACHED, expected_text("tokens=40"))


async def test_what_a_stopped_call_has_cost_is_settled(world: World) -> None:
    purse = Purse([None])
    models = FakeModels(hold_at=12)
    await world.worker(models, budgets=purse)
    run = await world.run()
    await models.held.wait()
    await run.cancel()
    state = await run.ended()
    assert list(purse.settled.values()) == [state.cost_microusd]


@dataclass
class SlowPurse(Purse):
    """Settles when it is let go on."""

    settling: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def settle(self, user_id: str, key: str, spent_microusd: int) -> None:
        self.settling.set()
        await self.go_on.wait()
        await super().settle(user_id, key, spent_microusd)


async def test_a_stop_that_meets_the_end_of_a_call_leaves_nothing_set_aside(world: World) -> None:
    purse = SlowPurse([10_000])
    await world.worker(FakeModels(), budgets=purse)
    run = await world.run()
    await purse.settling.wait()
    await run.cancel()
    for _ in range(100):
        # Until the worker has heard of it: everything here is in memory, and nothing else can happen.
        await asyncio.sleep(0)
    purse.go_on.set()
    state = await run.ended()
    assert state.status == "cancelled"
    [(_, key, _)] = purse.reserved
    assert purse.settled == {key: state.cost_microusd}


@pytest.mark.parametrize("continuation", ["prefix", "retract"])
async def test_what_a_lost_worker_had_reserved_is_settled_as_estimated(
    world: World, continuation: Continuation
) -> None:
    purse = Purse([10_000])
    models = FakeModels(hold_at=12)
    first = await world.worker(models, continuation=continuation, budgets=purse)
    run = await world.run()
    await models.held.wait()
    await run.until(lambda state: len(state.content) > 5)
    # Of another process, which knows nothing of the first one's keys.
    second = Purse([None])
    await world.worker(models, continuation=continuation, budgets=second)
    await first.bus.kill()
    models.go_on.set()
    state = await run.ended()
    ((_, lost, _),) = purse.reserved
    assert lost in second.settled
    assert sorted(second.settled.values()) == sorted(entry.cost_microusd or 0 for entry in state.ledger)
    assert len(state.ledger) == 2


async def test_a_reservation_is_settled_by_another_worker_also_of_yesterday() -> None:
    now = datetime.now(UTC)
    broker = Broker()
    bus = MemoryBus("inference-1", broker)
    await bus.compare_and_set(
        FLAGS.name, flag_subject(LIMITS_KEY), msgspec.json.encode(BudgetLimits(default=1000)), expected=0
    )
    for day, key in ((now, "today"), (now - timedelta(days=1), "yesterday")):
        held = DaySpending(reserved={key: Reservation(amount=500, until=now.timestamp() + 3600)})
        subject = budget_subject(day_key(USER, day))
        await bus.compare_and_set(BUDGETS.name, subject, msgspec.json.encode(held), expected=0)
        budgets = BucketBudgets(bus)
        async with budgets.watching():
            # It has just started, and knows the limits: what it takes over is counted, and its first call is bounded.
            await budgets.settle(USER, key, 7)
            assert await budgets.reserve(USER, "probe", 1)
            await budgets.settle(USER, "probe", 0)
        last = await bus.last_of(BUDGETS.name, subject)
        assert last is not None
        spending = decode_spending(last.data)
        assert (spending.spent, spending.taken) == (7, 7)


async def test_a_message_of_200_kb_and_an_answer_of_100_000_tokens(world: World) -> None:
    """Control characters and quotes in it: the snapshot stays below the broker's largest message."""
    pieces = ["".join(f'"word{number}"\n\t' for number in range(start, start + 50)) for start in range(0, 100_000, 50)]
    models = FakeModels(pieces=pieces)
    world.inputs.content = "z" * 20_000  # what a window of 8,192 tokens takes
    await world.worker(models, agents=AGENTS, max_answer_bytes=4 * 1024 * 1024)
    run = await world.run(agent="big")
    state = await run.ended()
    assert (state.status, state.content) == ("complete", "".join(pieces))
    assert len(encode_snapshot(Snapshot(state=state, stream_sequence=1))) < 8 * 1024 * 1024
    events = await run.events()
    assert max(len(msgspec.json.encode(event)) for event in events) < 1024 * 1024


async def test_a_message_that_no_window_takes_fails_clearly(world: World) -> None:
    world.inputs.content = "z" * 200_000
    await world.worker(FakeModels())
    state = await (await world.run()).ended()
    assert state.error_code == RunFailure.CONTEXT_TOO_LONG
