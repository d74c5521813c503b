"""Runs that wait: no process holds them, what they wait for is never lost, each is answered once, and expiry fails closed."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest
from bus.api import Entry, RunLog
from contracts import events as e
from contracts.codes import RunFailure
from contracts.commands import CancelRun, DecideApproval, ProvideInput, RunCommand, SteerRun
from contracts.parts import ToolCallPart
from contracts.run_state import RunState
from contracts.subjects import execute_subject, timer_subject

from tests.unit.inference.scripted import ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import USER, DyingLog, Run, Worker, World, new_world
from tests.upstream import expected_text

AGENTS = agents_of()
ASK = 'call=ask_user:{"question":"Which?"} then tokens=3'
PAY = 'call=pay:{"amount":5} then tokens=3'
WAIT = 'call=wait:{"seconds":90} then tokens=3'


class Scene:
    """A world with one run; whoever works on it, it is asked by the same provider and calls the same tools."""

    def __init__(self, world: World, content: str) -> None:
        self.world, self.models, self.calls = world, ScriptedModels(), ToolCalls()
        world.inputs.content = content
        self.published = 0

    async def worker(self, dying: tuple[int, bool] | None = None) -> tuple[Worker, DyingLog | None]:
        logs: list[DyingLog] = []

        def log(inner: RunLog) -> RunLog:
            if dying is None:
                return inner
            logs.append(DyingLog(inner, dying[0], stored=dying[1]))
            return logs[0]

        tools = ToolsByHand(self.calls.tools(self.world.clock.now), AGENTS)
        worker = await self.world.worker(self.models, agents=AGENTS, tools=tools, log=log)
        return worker, logs[0] if logs else None

    async def command(self, run: Run, command: RunCommand) -> None:
        """Store a command, then have the run executed again, as conversation does when it hears of one."""
        run_id = run.command.run_id
        data = msgspec.json.encode(command)
        self.published += 1
        await run.bus.run_log.append_command(
            run.command.thread_id, run_id, data, message_id=f"{run_id}:{self.published}"
        )
        await self.world.publish(run, copy=100 + self.published)

    async def due(self, run: Run, after: timedelta) -> None:
        """Time passes; the timer fires."""
        self.world.clock.at += after
        self.published += 1
        await self.world.publish(run, copy=100 + self.published)

    def at(self) -> str:
        return self.world.clock.stamp()

    def answer(self, value: object, wait_id: str = "input-0") -> ProvideInput:
        return ProvideInput(wait_id=wait_id, value=value, by=USER, at=self.at())

    def decide(self, approved: bool, wait_id: str = "approval-0") -> DecideApproval:
        return DecideApproval(wait_id=wait_id, approved=approved, by=USER, at=self.at(), note="Too much.")


async def until_it_waits(run: Run) -> RunState:
    await run.settled()
    state = await run.state()
    assert state.status == "waiting", state
    assert await run.snapshot() == state
    assert await is_released(run), "whoever dies, nobody's claim stays behind"
    return state


async def is_released(run: Run) -> bool:
    holder = await run.bus.run_log.holder(run.command.thread_id, run.command.run_id)
    assert holder is not None
    return holder.released


def calls_in(state: RunState) -> list[ToolCallPart]:
    return [part for part in state.message_parts if isinstance(part, ToolCallPart)]


async def test_a_question_is_answered_by_a_person(world: World) -> None:
    scene = Scene(world, ASK)
    await scene.worker()
    run = await world.run()
    state = await until_it_waits(run)
    assert state.waiting is not None
    assert (state.waiting.reason, state.waiting.wait_id, state.waiting.prompt) == ("input", "input-0", "Which?")
    assert state.waiting.schema["required"] == ["answer"]  # type: ignore[index]  # any JSON
    assert state.waiting.tool_call_id == "call_0"
    assert await world.outside.last_of("TIMERS", timer_subject("run", run.command.run_id)) is not None
    await scene.command(run, scene.answer({"answer": "The blue one."}))
    ended = await run.ended()
    check_one_end(ended, await run.events())
    assert (ended.status, ended.content) == ("complete", expected_text("tokens=3"))
    assert [call.output for call in calls_in(ended)] == [{"answer": "The blue one."}]
    [resumed] = [event for event in await run.events() if isinstance(event, e.RunResumed)]
    assert (resumed.reason, resumed.by) == ("input", USER)
    assert await world.outside.last_of("TIMERS", timer_subject("run", run.command.run_id)) is None
    assert len(scene.models.calls) == 2


async def test_the_first_answer_counts_and_the_second_changes_nothing(world: World) -> None:
    scene = Scene(world, ASK)
    run = await world.run()
    await scene.worker()
    await until_it_waits(run)
    await world.kill_last()
    await scene.command(run, scene.answer({"answer": "first"}))
    await scene.command(run, scene.answer({"answer": "second"}))
    await scene.worker()
    ended = await run.ended()
    assert [call.output for call in calls_in(ended)] == [{"answer": "first"}]


@pytest.mark.parametrize("approved", [True, False])
async def test_a_call_waits_for_a_yes(world: World, approved: bool) -> None:
    scene = Scene(world, PAY)
    await scene.worker()
    run = await world.run()
    state = await until_it_waits(run)
    assert state.waiting is not None
    assert (state.waiting.reason, calls_in(state)[0].state, scene.calls.keys) == ("approval", "pending", [])
    await scene.command(run, scene.decide(approved))
    ended = await run.ended()
    assert ended.status == "complete"
    [call] = calls_in(ended)
    if approved:
        assert (call.output, scene.calls.keys) == ("paid 5", [f"{run.command.run_id}:2"])
    else:
        assert (call.state, scene.calls.keys) == ("error", [])
        assert "Too much." in (call.error or "")
        assert "not allow" in scene.models.calls[1].messages[-1].content


@pytest.mark.parametrize("content", [ASK, PAY])
async def test_nobody_answers(world: World, content: str) -> None:
    scene = Scene(world, content)
    await scene.worker()
    run = await world.run(seconds=3600)
    await until_it_waits(run)
    await scene.due(run, timedelta(days=1, seconds=1))
    ended = await run.ended()
    assert ended.status == "complete"
    [call] = calls_in(ended)
    assert (call.state, scene.calls.keys) == ("error", [])
    assert "in time" in (call.error or "")
    assert ended.waited_ms == 86_401_000


async def test_an_answer_that_comes_too_late_is_none(world: World) -> None:
    scene = Scene(world, PAY)
    await scene.worker()
    run = await world.run()
    await until_it_waits(run)
    world.clock.at += timedelta(days=2)
    await scene.command(run, scene.decide(True))
    assert calls_in(await run.ended())[0].state == "error"
    assert scene.calls.keys == []


async def test_a_wait_ends_with_its_time(world: World) -> None:
    scene = Scene(world, WAIT)
    await scene.worker()
    run = await world.run(seconds=60)
    await until_it_waits(run)
    await scene.due(run, timedelta(seconds=30))  # a surplus command while it waits on
    state = await until_it_waits(run)
    assert state.attempt == 1
    await scene.due(run, timedelta(seconds=61))
    ended = await run.ended()
    assert (ended.status, ended.waited_ms) == ("complete", 91_000)


async def test_a_wait_longer_than_the_log_keeps_is_refused_with_a_code(world: World) -> None:
    scene = Scene(world, 'call=wait:{"seconds":432001} then tokens=3')
    await scene.worker()
    ended = await (await world.run()).ended()
    assert (ended.status, ended.content) == ("complete", expected_text("tokens=3"))
    [part] = [part for part in ended.parts.values() if isinstance(part.value, ToolCallPart)]
    assert (part.failure, calls_in(ended)[0].error) == ("arguments", "A wait lasts 5 days at most.")


async def test_time_spent_waiting_does_not_count_but_time_spent_working_does(world: World) -> None:
    scene = Scene(world, f"{WAIT} call=hold:{{}}")
    await scene.worker()
    run = await world.run(seconds=2)
    await until_it_waits(run)
    await scene.due(run, timedelta(seconds=149))
    ended = await run.ended()
    assert ended.error_code == RunFailure.DEADLINE
    assert scene.calls.stopped == scene.calls.keys != []


async def test_stopped_while_it_waits(world: World) -> None:
    scene = Scene(world, ASK)
    await scene.worker()
    run = await world.run()
    await until_it_waits(run)
    await scene.command(run, CancelRun(by=USER, at=scene.at()))
    ended = await run.ended()
    check_one_end(ended, await run.events())
    assert (ended.status, calls_in(ended)[0].state) == ("cancelled", "error")


async def test_two_calls_that_wait_are_asked_one_after_the_other(world: World) -> None:
    scene = Scene(world, 'call=pay:{"amount":1} call=note:{"text":"a"} call=pay:{"amount":2} then tokens=3')
    await scene.worker()
    run = await world.run()
    state = await until_it_waits(run)
    assert [call.state for call in calls_in(state)] == ["pending", "completed", "pending"]
    await scene.command(run, scene.decide(True))
    state = await until_it_waits(run)
    assert state.waiting is not None
    assert state.waiting.wait_id == "approval-2"
    assert calls_in(state)[0].output == "paid 1"
    await scene.command(run, scene.decide(False, "approval-2"))
    ended = await run.ended()
    assert [call.state for call in calls_in(ended)] == ["completed", "completed", "error"]
    assert len(scene.calls.keys) == 2


async def test_what_the_user_adds_joins_at_the_next_step(world: World) -> None:
    scene = Scene(world, ASK)
    await scene.worker()
    run = await world.run()
    await until_it_waits(run)
    await scene.command(run, SteerRun(text="tokens=4 seed=7", by=USER, at=scene.at()))
    await until_it_waits(run)
    await scene.command(run, scene.answer({"answer": "x"}))
    ended = await run.ended()
    assert ended.content == expected_text("tokens=4 seed=7")
    assert [steer.text for steer in ended.steers] == ["tokens=4 seed=7"]
    assert [message.role for message in scene.models.calls[1].messages] == ["user", "assistant", "tool", "user"]


async def test_what_the_user_adds_to_the_last_step_is_answered_too(world: World) -> None:
    scene = Scene(world, "tokens=3")
    run = await world.run()
    await scene.command(run, SteerRun(text="tokens=4 seed=7", by=USER, at=scene.at()))
    await scene.worker()
    assert (await run.ended()).content == expected_text("tokens=4 seed=7")


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("answered", "writes"), [(False, 1), (True, 1), (True, 4)])
async def test_a_late_delivery_that_dies_takes_nothing_with_it(
    world: World, answered: bool, writes: int, stored: bool
) -> None:
    """Of a command that was settled long ago, so that nobody comes after it: the claim must not stay behind, and what wakes
    the run meanwhile must not be settled by it."""
    scene = Scene(world, ASK)
    await scene.worker()
    run = await world.run()
    await until_it_waits(run)
    await world.kill_last()
    answer = msgspec.json.encode(scene.answer({"answer": "x"}))
    if answered:
        await run.bus.run_log.append_command(run.command.thread_id, run.command.run_id, answer, message_id="answer")
    _, dying = await scene.worker((writes, stored))
    assert dying is not None
    await world.publish(run, copy=50)
    await dying.died.wait()
    await run.bus.purge("COMMANDS", execute_subject(run.command.run_id))
    assert answered or await is_released(run)
    await run.bus.run_log.append_command(run.command.thread_id, run.command.run_id, answer, message_id="answer")
    await world.publish(run, copy=51)
    for _ in range(20):
        await asyncio.sleep(0)
    await world.kill_last()
    await scene.worker()
    ended = await run.ended()
    check_one_end(ended, await run.events())
    assert (ended.status, [call.output for call in calls_in(ended)]) == ("complete", [{"answer": "x"}])


class SlowReading:
    """A run log that holds its first look for a snapshot until `go_on`."""

    def __init__(self, inner: RunLog) -> None:
        self._inner = inner
        self.held, self.go_on = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def last(self, subject: str) -> Entry | None:
        self.held.set()
        await self.go_on.wait()
        return await self._inner.last(subject)


async def test_a_timer_that_fires_while_a_late_delivery_is_looked_at_is_heard(world: World) -> None:
    scene = Scene(world, WAIT)
    await scene.worker()
    run = await world.run()
    await until_it_waits(run)
    await world.kill_last()
    logs: list[SlowReading] = []

    def log(inner: RunLog) -> RunLog:
        logs.append(SlowReading(inner))
        return cast(RunLog, logs[0])

    tools = ToolsByHand(scene.calls.tools(world.clock.now), AGENTS)
    worker = await world.worker(scene.models, agents=AGENTS, tools=tools, log=log)
    await world.publish(run, copy=50)
    await logs[0].held.wait()
    await scene.due(run, timedelta(seconds=90))
    async with asyncio.timeout(60):
        while (mine := worker.running.find(run.command.run_id)) is None or len(mine.delivery.replies) < 2:
            await asyncio.sleep(0)
    logs[0].go_on.set()
    assert (await run.ended()).status == "complete"


WRITES = 22


@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("content", [ASK, PAY, WAIT])
async def test_death_at_every_write_before_and_after_the_wait(content: str, stored: bool) -> None:
    async def case(writes: int) -> bool:
        async with new_world() as world:
            scene = Scene(world, content)
            _, dying = await scene.worker((writes, stored))
            assert dying is not None
            run = await world.run()
            dead = asyncio.create_task(dying.died.wait())
            # Until the run was let go: a worker may die after the last thing that it writes.
            waiting = asyncio.create_task(until_it_waits(run))
            await asyncio.wait({dead, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if dead.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                await world.kill_last()
                await scene.worker()
                waiting = asyncio.create_task(until_it_waits(run))
            await waiting
            if content == WAIT:
                await scene.due(run, timedelta(seconds=91))
            else:
                answer = scene.answer({"answer": "x"}) if content == ASK else scene.decide(True)
                await scene.command(run, answer)
            ended_task = asyncio.create_task(run.settled())
            await asyncio.wait({dead, ended_task}, return_when=asyncio.FIRST_COMPLETED)
            if dead.done() and not ended_task.done():
                await world.kill_last()
                await scene.worker()
            await ended_task
            ended, events = await run.ended(), await run.events()
            check_one_end(ended, events)
            assert (ended.status, ended.content) == ("complete", expected_text("tokens=3"))
            assert [call.state for call in calls_in(ended)] == ["completed"]
            assert sum(isinstance(event, e.RunResumed) for event in events) == 1
            assert len(scene.models.calls) <= 3
            assert len(set(scene.calls.keys)) == (1 if content == PAY else 0)
            assert await run.snapshot() == ended
            died = dead.done()
            dead.cancel()
            return died

    died = await asyncio.gather(*(case(writes) for writes in range(1, WRITES)))
    assert sum(died) >= 15
