"""One tool call from checked arguments to its end: timeout, retries, output limit, times."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import stamina
import structlog

from inference.tools.domain.outcome import (
    HandOff,
    Output,
    Suspend,
    ToolEnd,
    ToolFailedError,
    ToolFailure,
    ToolHandedOff,
    ToolOutcome,
    ToolRun,
    ToolSuspended,
)
from inference.tools.domain.output import cut_output
from inference.tools.ports import ArgumentCheck, Now, Tool, ToolContext

logger = structlog.get_logger()

FIRST_WAIT: Final = 0.2
LONGEST_WAIT: Final = 5.0
GRACE: Final = 0.5
"""Seconds that a cancelled tool gets to let go; what then still runs is left behind and logged."""


class _TimedOutError(Exception):
    """One try took too long."""


class _BrokenError(Exception):
    """The tool raised something that it should not have."""


async def run_tool(tool: Tool, arguments: Any, context: ToolContext, *, check: ArgumentCheck, now: Now) -> ToolRun:
    """Carry out one call. Never raises for what the tool does; cancelling it cancels the tool."""
    started_at = now()
    problem = check(tool.spec, arguments)
    if problem is not None:
        return _error(started_at, now(), 0, ToolFailure.ARGUMENTS, problem)
    tries = _Tries(tool, arguments, context)
    try:
        outcome = await tries.until_done()
    except ToolFailedError as error:
        return _error(started_at, now(), tries.count, error.failure, error.sentence)
    except _TimedOutError:
        sentence = f"The tool {tool.spec.name} did not answer within {tool.spec.timeout:g} seconds."
        return _error(started_at, now(), tries.count, ToolFailure.TIMEOUT, sentence)
    except _BrokenError as error:
        return _error(started_at, now(), tries.count, ToolFailure.FAILED, str(error))
    match outcome:
        case Suspend():
            return ToolSuspended(suspend=outcome, started_at=started_at)
        case HandOff():
            return ToolHandedOff(hand_off=outcome, started_at=started_at, ended_at=now())
        case Output(value=value):
            shown, cut = cut_output(value, tool.spec.output_limit)
            return ToolEnd(
                state="completed", output=shown, cut=cut, started_at=started_at, ended_at=now(), tries=tries.count
            )


def unknown_tool(name: str, offered: list[str], now: Now) -> ToolEnd:
    """The end of a call of a tool that the model was not offered."""
    names = ", ".join(offered) or "none"
    sentence = f"There is no tool {name[:64]!r} here. The tools are: {names}."
    return _error(now(), now(), 0, ToolFailure.UNKNOWN_TOOL, sentence)


class _Tries:
    def __init__(self, tool: Tool, arguments: Mapping[str, Any], context: ToolContext) -> None:
        self._tool, self._arguments, self._context = tool, arguments, context
        self.count = 0

    async def until_done(self) -> ToolOutcome:
        async for attempt in stamina.retry_context(
            on=_is_worth_another_try,
            attempts=self._tool.spec.retries + 1,
            timeout=None,
            wait_initial=FIRST_WAIT,
            wait_max=LONGEST_WAIT,
            wait_jitter=FIRST_WAIT,
        ):
            with attempt:
                self.count += 1
                return await self._once()
        raise AssertionError("stamina ends with a result or an error")

    async def _once(self) -> ToolOutcome:
        """One try. The tool runs in a task of its own, so that whatever it raises is looked at rather than caught."""
        spec = self._tool.spec
        task = asyncio.ensure_future(self._tool.call(self._arguments, self._context))
        try:
            done, _ = await asyncio.wait({task}, timeout=spec.timeout)
        except asyncio.CancelledError:
            await _let_go(task, spec.name)
            raise
        if not done:
            await _let_go(task, spec.name)
            raise _TimedOutError
        if task.cancelled():
            raise _BrokenError(f"The tool {spec.name} gave up by itself.")
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, ToolFailedError):
            raise error
        logger.error("tool.broken", tool=spec.name, run_id=self._context.run_id, exc_info=error)
        raise _BrokenError(f"The tool {spec.name} failed through a fault of its own ({type(error).__name__}).")


def _is_worth_another_try(error: Exception) -> bool:
    return isinstance(error, _TimedOutError) or (isinstance(error, ToolFailedError) and error.retryable)


async def _let_go(task: "asyncio.Future[ToolOutcome]", name: str) -> None:
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)
    if not task.done():
        logger.error("tool.unstoppable", tool=name)
        return
    if not task.cancelled():
        # Looked at, so that asyncio does not complain of an error that nobody wanted to know any more.
        task.exception()


def _error(started_at: datetime, ended_at: datetime, tries: int, failure: ToolFailure, sentence: str) -> ToolEnd:
    return ToolEnd(
        state="error", error=sentence, failure=failure, started_at=started_at, ended_at=ended_at, tries=tries
    )
