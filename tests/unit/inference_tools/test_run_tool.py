"""One tool call: what ends it, how often it is tried, what the model sees."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from inference.tools.adapters.arguments import check_arguments
from inference.tools.domain.outcome import (
    HandOff,
    Output,
    Suspend,
    ToolEnd,
    ToolFailedError,
    ToolFailure,
    ToolHandedOff,
    ToolOutcome,
    ToolSuspended,
)
from inference.tools.domain.spec import ToolSpec
from inference.tools.ports import ToolContext
from inference.tools.run_tool import run_tool, unknown_tool

START = datetime(2026, 11, 21, tzinfo=UTC)


class Watch:
    """A clock that goes on by a second at each look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> datetime:
        self.looks += 1
        return START + timedelta(seconds=self.looks)


class FakeTool:
    def __init__(self, do: Callable[[int], Awaitable[ToolOutcome]], **options: Any) -> None:
        self.spec = ToolSpec(
            name="fake",
            description="Does as told.",
            input_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False},
            **options,
        )
        self.calls: list[tuple[Mapping[str, Any], str]] = []
        self._do = do

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        self.calls.append((arguments, context.idempotency_key))
        return await self._do(len(self.calls))


def context() -> ToolContext:
    return ToolContext(run_id="r", thread_id="t", step=3, idempotency_key="r:3", user_id="u")


async def end_of(tool: FakeTool, arguments: Any = None) -> ToolEnd:
    run = await run_tool(tool, {} if arguments is None else arguments, context(), check=check_arguments, now=Watch())
    assert isinstance(run, ToolEnd)
    return run


async def test_an_output_with_its_times() -> None:
    async def do(_: int) -> ToolOutcome:
        return Output({"a": 1})

    end = await end_of(FakeTool(do), {"n": 1})
    assert (end.state, end.output, end.tries, end.cut) == ("completed", {"a": 1}, 1, False)
    assert end.started_at == START + timedelta(seconds=1)
    assert end.ended_at == START + timedelta(seconds=2)


async def test_wrong_arguments_never_reach_the_tool() -> None:
    async def do(_: int) -> ToolOutcome:
        raise AssertionError

    tool = FakeTool(do)
    end = await end_of(tool, {"n": "many", "m": 1})
    assert end.failure is ToolFailure.ARGUMENTS
    assert "At n:" in (end.error or "")
    assert "n (integer)" in (end.error or "")
    assert tool.calls == []


async def test_a_retryable_failure_is_tried_again_with_the_same_key() -> None:
    async def do(call: int) -> ToolOutcome:
        if call < 3:
            raise ToolFailedError("Not now.", retryable=True)
        return Output("at last")

    tool = FakeTool(do, retries=2)
    end = await end_of(tool)
    assert (end.output, end.tries) == ("at last", 3)
    assert [key for _, key in tool.calls] == ["r:3"] * 3


async def test_a_failure_that_is_not_retryable_is_final() -> None:
    async def do(_: int) -> ToolOutcome:
        raise ToolFailedError("No such thing.")

    tool = FakeTool(do, retries=5)
    end = await end_of(tool)
    assert (end.state, end.failure, end.error, end.tries) == ("error", ToolFailure.FAILED, "No such thing.", 1)


async def test_the_tries_run_out() -> None:
    async def do(_: int) -> ToolOutcome:
        raise ToolFailedError("Not now.", retryable=True)

    end = await end_of(FakeTool(do, retries=1))
    assert (end.failure, end.error, end.tries) == (ToolFailure.FAILED, "Not now.", 2)


async def test_a_tool_that_hangs_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def do(_: int) -> ToolOutcome:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    end = await end_of(FakeTool(do, timeout=0.02))
    assert end.failure is ToolFailure.TIMEOUT
    assert "0.02 seconds" in (end.error or "")
    assert cancelled.is_set()


async def test_a_fault_of_the_tool_is_an_error_without_its_words() -> None:
    async def do(_: int) -> ToolOutcome:
        raise KeyError("password=hunter2")

    end = await end_of(FakeTool(do))
    assert end.failure is ToolFailure.FAILED
    assert "KeyError" in (end.error or "")
    assert "hunter2" not in (end.error or "")


async def test_cancelling_reaches_the_tool() -> None:
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def do(_: int) -> ToolOutcome:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    task = asyncio.create_task(end_of(FakeTool(do)))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()


async def test_a_long_output_is_cut_and_says_so() -> None:
    async def do(_: int) -> ToolOutcome:
        return Output("ü" * 1000)

    end = await end_of(FakeTool(do, output_limit=300))
    assert end.cut
    assert len(end.output.encode()) <= 300
    assert "2000 bytes" in end.output


async def test_a_suspension_and_a_hand_over_pass_through() -> None:
    async def wait(_: int) -> ToolOutcome:
        return Suspend(reason="wait", wake_at=START)

    async def hand_over(_: int) -> ToolOutcome:
        return HandOff(agent="writer", task="write")

    waiting = await run_tool(FakeTool(wait), {}, context(), check=check_arguments, now=Watch())
    handed = await run_tool(FakeTool(hand_over), {}, context(), check=check_arguments, now=Watch())
    assert isinstance(waiting, ToolSuspended)
    assert isinstance(handed, ToolHandedOff)
    assert (waiting.suspend.reason, handed.hand_off.agent) == ("wait", "writer")


def test_a_tool_that_was_not_offered() -> None:
    end = unknown_tool("rm_rf", ["time", "calculator"], Watch())
    assert end.failure is ToolFailure.UNKNOWN_TOOL
    assert "'rm_rf'" in (end.error or "")
    assert "time, calculator" in (end.error or "")
