"""Workers whose clocks are wrong: a run's limits and waits go by the broker's clock, whoever carries it on."""

from datetime import UTC, datetime, timedelta

import pytest
from bus.api import RunLog
from contracts import events as e
from contracts.codes import RunFailure
from contracts.run_state import Begun, RunState
from contracts.times import parse_rfc3339, rfc3339
from inference.domain.broker_time import Sighting, at_least
from inference.domain.limits import seconds_left
from inference.handlers.broker_clock import clock_by

from tests.unit.inference.scripted import ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import DyingLog, FakeClock, Run, World
from tests.upstream import expected_text

AGENTS = agents_of()
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
OFF = timedelta(minutes=10)


class WrongClock:
    """Another clock's time of day, but so much ahead of it."""

    def __init__(self, right: FakeClock, ahead: timedelta) -> None:
        self._right, self._ahead = right, ahead

    def now(self) -> datetime:
        return self._right.now() + self._ahead

    def stamp(self) -> str:
        return rfc3339(self.now())

    def monotonic(self) -> float:
        # From another moment on than any other machine's.
        return self._right.monotonic() + self._ahead.total_seconds() / 7


def seen(ahead: timedelta, *, took: float = 0.01, stored_at: float | None = None) -> Sighting:
    """A claim that the broker stored at NOW, confirmed by a clock that is ahead."""
    return Sighting(stored_at=NOW.timestamp() if stored_at is None else stored_at, confirmed=NOW + ahead, took=took)


@pytest.mark.parametrize("ahead", [OFF, -OFF], ids=["fast", "slow"])
def test_ten_minutes_off_in_either_direction_leave_the_same_time(ahead: timedelta) -> None:
    limits = AGENTS.by_name["default"].limits
    state = RunState(run_id="r", thread_id="t", agents={"": Begun(at=rfc3339(NOW - timedelta(seconds=30)))})
    right = FakeClock()
    right.at = NOW
    wrong = WrongClock(right, ahead)
    clock = clock_by(wrong, seen(ahead), wrong.monotonic())
    assert seconds_left(state, None, limits, wrong.now()) != limits.seconds - 30
    assert seconds_left(state, None, limits, clock.now()) == limits.seconds - 30
    right.at += timedelta(seconds=20)
    assert seconds_left(state, None, limits, clock.now()) == pytest.approx(limits.seconds - 50)
    assert clock.stamp() == rfc3339(right.at)
    assert clock.monotonic() == wrong.monotonic()


def test_a_clock_is_doubted_only_where_the_broker_contradicts_it() -> None:
    second = timedelta(seconds=1)
    assert seen(timedelta()).is_in_step
    assert seen(0.9 * second).is_in_step
    assert seen(-0.9 * second).is_in_step
    assert not seen(2 * second).is_in_step
    assert not seen(-2 * second).is_in_step
    # Stored at once, confirmed after 20 s of outage; a clock that is slow by more than that is still found out.
    assert seen(20 * second, took=20).is_in_step
    assert not seen(-2 * second, took=20).is_in_step
    # A broker that does not say, as on the legacy path.
    assert seen(OFF, stored_at=0.0).is_in_step
    right = FakeClock()
    assert clock_by(right, seen(timedelta()), right.monotonic()) is right
    assert at_least(NOW - OFF, NOW.timestamp()) == NOW == at_least(NOW, (NOW - OFF).timestamp())
    assert at_least(NOW, 0.0) == NOW


def check_times(world: World, events: list[e.RunEvent]) -> None:
    """Every event was stamped with the broker's time, in whatever attempt."""
    times = [parse_rfc3339(event.at) for event in events]
    assert times == sorted(times)
    assert times[-1] == world.clock.now()


async def half_done(world: World) -> tuple[Run, ScriptedModels]:
    """A run whose worker, with a right clock, is gone in the middle of its answer."""
    world.inputs.content = 'tokens=3 call=note:{"text":"a"} then tokens=20'
    models, logs = ScriptedModels(), list[DyingLog]()

    def mortal(inner: RunLog) -> RunLog:
        logs.append(DyingLog(inner, 12, stored=True))
        return logs[0]

    tools = ToolsByHand(ToolCalls().tools(world.clock.now), AGENTS)
    await world.worker(models, agents=AGENTS, tools=tools, log=mortal)
    run = await world.run(seconds=300)
    await logs[0].died.wait()
    return run, models


@pytest.mark.parametrize("ahead", [OFF, -OFF], ids=["fast", "slow"])
@pytest.mark.parametrize(("passed", "status"), [(100, "complete"), (400, "error")])
async def test_who_takes_over_with_a_wrong_clock_gives_the_run_its_time(
    world: World, ahead: timedelta, passed: int, status: str
) -> None:
    run, models = await half_done(world)
    world.clock.at += timedelta(seconds=passed)
    await world.kill_last()
    tools = ToolsByHand(ToolCalls().tools(world.clock.now), AGENTS)
    await world.worker(models, agents=AGENTS, tools=tools, clock=WrongClock(world.clock, ahead))
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.error_code) == (status, None if status == "complete" else RunFailure.DEADLINE)
    assert state.attempt == 2
    check_times(world, await run.events())


@pytest.mark.parametrize("ahead", [OFF, -OFF], ids=["fast", "slow"])
async def test_a_wait_is_as_long_as_it_was_asked_for_and_is_not_slept_through(world: World, ahead: timedelta) -> None:
    world.inputs.content = 'call=wait:{"seconds":90} then tokens=3'
    models, calls = ScriptedModels(), ToolCalls()
    tools = ToolsByHand(calls.tools(world.clock.now), AGENTS)
    await world.worker(models, agents=AGENTS, tools=tools, clock=WrongClock(world.clock, ahead))
    run = await world.run(seconds=300)
    await run.settled()
    waiting = (await run.state()).waiting
    assert waiting is not None
    assert waiting.expires_at == rfc3339(world.clock.now() + timedelta(seconds=90))
    # Somebody has it executed too early; then the timer fires, and a worker with the opposite fault hears of it.
    await world.publish(run, copy=1)
    await run.settled()
    assert (await run.state()).waiting == waiting
    await world.kill_last()
    await world.worker(models, agents=AGENTS, tools=tools, clock=WrongClock(world.clock, -ahead))
    world.clock.at += timedelta(seconds=91)
    await world.publish(run, copy=2)
    state = await run.ended()
    assert (state.status, state.content, state.waited_ms) == ("complete", expected_text("tokens=3"), 91_000)
    check_times(world, await run.events())
