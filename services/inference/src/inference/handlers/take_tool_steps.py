"""The tool calls of one model step, at once: each a step of its own, with its progress and its result in the log."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from contracts import events as e
from contracts.times import rfc3339

from inference.domain.endings import Failed
from inference.domain.hand_overs import hand_over_output
from inference.domain.plan import Lane, OpenCall
from inference.domain.tool_errors import wrong_calls
from inference.domain.waits import Wait, approval_of, wait_id_of, wait_of
from inference.handlers.journal import encoded_size
from inference.handlers.prepare_call import offer_tools
from inference.handlers.work import Acting, Work
from inference.tools.domain.outcome import ToolEnd, ToolFailure, ToolHandedOff, ToolSuspended
from inference.tools.domain.output import cut_output
from inference.tools.ports import Tool, ToolContext
from inference.tools.run_tool import run_tool, unknown_tool
from inference.tools.toolbox import Offered

MOST_AT_ONCE: Final = 8
LOOK_AGAIN: Final = (0.5, 1.5)
"""Seconds before the services are asked again for a tool that is missing."""
PROGRESS_BYTES: Final = 4096
PROGRESS_SECONDS: Final = 0.1
NO_WAIT_SENTENCE: Final = "Waiting for a time or a person is not possible here. Go on without it, and say so."
NO_ROOM_SENTENCE: Final = "The answer has reached its largest size, so the result of this call could not be kept."
DENIED_SENTENCE: Final = "The user did not allow this call."
EXPIRED_SENTENCE: Final = "Nobody answered in time."


async def take_tool_steps(work: Work, calls: Sequence[OpenCall], lane: Lane, acting: Acting) -> Failed | Wait | None:
    """Carry out `calls`. What the run waits for, where one of them waits: all the others are done by then. Cancelling it
    cancels every tool."""
    offered = await _offered(work, calls, lane, acting)
    slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(call: OpenCall) -> Wait | None:
        async with slots:
            tool = offered.tools.get(call.call.name)
            known = [*offered.tools, *sorted(work.input.left_to_client)]
            return await _Call(work, acting, call, tool, known).carry_out()

    tasks = [asyncio.create_task(one(call)) for call in calls]
    try:
        waits = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    await work.journal.stored()
    wrong = wrong_calls(work.journal.state, lane)
    return wrong or next((wait for wait in waits if wait is not None), None)


async def _offered(work: Work, calls: Sequence[OpenCall], lane: Lane, acting: Acting) -> Offered:
    """The agent's tools. A service that offered one a step ago, or to another worker, may be starting anew: where one of the
    called is missing, they are asked again."""
    offered = await offer_tools(work, lane, acting, model_has_tools=True)
    is_remote = any(pattern.startswith(("mesh:", "mcp:")) for pattern in acting.config.tools)
    for wait in LOOK_AGAIN if is_remote else ():
        if all(call.call.name in offered.tools for call in calls):
            break
        await asyncio.sleep(wait)
        offered = await offer_tools(work, lane, acting, model_has_tools=True)
    return offered


class _Call:
    def __init__(self, work: Work, acting: Acting, call: OpenCall, tool: Tool | None, offered: list[str]) -> None:
        self._work, self._acting, self._call, self._tool, self._offered = work, acting, call, tool, offered
        self._journal, self._clock = work.journal, work.parts.clock
        self._step = call.step if call.step is not None else 0
        self._told_at = float("-inf")

    async def carry_out(self) -> Wait | None:
        """What it waits for, None once its result is queued."""
        answered = self._answered()
        if answered is not None:
            self._begin()
            self._end(answered)
            return None
        if self._tool is None:
            self._begin()
            self._end(unknown_tool(self._call.call.name, self._offered, self._clock.now))
            return None
        wait = self._needs_approval(self._tool)
        if wait is not None:
            return self._wait(wait)
        self._begin()
        self._journal.put(e.ToolProgress, **self._head, state="running", started_at=rfc3339(self._clock.now()))
        # The tool must not begin before the log says so: a takeover tells it the same key only for a step that it knows of.
        await self._journal.stored()
        context = ToolContext(
            run_id=self._work.command.run_id,
            thread_id=self._work.command.thread_id,
            step=self._step,
            idempotency_key=f"{self._work.command.run_id}:{self._step}",
            user_id=self._work.command.user_id,
            roles=self._work.input.roles,
            agent=self._acting.config.name,
            tool_call_id=self._call.call.tool_call_id,
            progress=self._progress,
        )
        arguments = self._call.call.input
        problem = _unreadable(arguments)
        run = (
            _error(self._clock.now(), ToolFailure.ARGUMENTS, problem)
            if problem is not None
            else await run_tool(self._tool, arguments, context, check=self._work.parts.tools.check, now=self._clock.now)
        )
        match run:
            case ToolSuspended(suspend=suspend):
                return self._wait(
                    wait_of(
                        suspend,
                        part=self._call.part,
                        tool_call_id=self._call.call.tool_call_id,
                        agent=self._acting.tag,
                        now=self._clock.now(),
                    )
                )
            case ToolHandedOff(hand_off=hand_off, started_at=started_at, ended_at=ended_at):
                output = hand_over_output(hand_off.agent, hand_off.task)
                self._end(ToolEnd(state="completed", output=output, started_at=started_at, ended_at=ended_at, tries=1))
            case ToolEnd():
                self._end(run)
        return None

    @property
    def _head(self) -> dict[str, Any]:
        return {
            "tool_call_id": self._call.call.tool_call_id,
            "name": self._call.call.name,
            "agent": self._acting.tag,
        }

    def _begin(self) -> None:
        if not self._step:
            self._step = self._journal.new_step()
        self._journal.put(
            e.StepStarted,
            step=self._step,
            kind="tool",
            name=self._call.call.name,
            tool_call_id=self._call.call.tool_call_id,
            agent=self._acting.tag,
        )

    def _end(self, end: ToolEnd) -> None:
        if encoded_size(end.output) > self._journal.room:
            end = _error(end.ended_at, ToolFailure.FAILED, NO_ROOM_SENTENCE, started_at=end.started_at)
        self._journal.take_room(encoded_size((end.output, end.error)))
        self._journal.put(
            e.ToolResult,
            **self._head,
            state=end.state,
            output=end.output,
            error=end.error,
            failure=end.failure.value if end.failure is not None else None,
            started_at=rfc3339(end.started_at),
            ended_at=rfc3339(end.ended_at),
        )
        self._journal.put(e.StepFinished, step=self._step, agent=self._acting.tag)

    def _needs_approval(self, tool: Tool) -> Wait | None:
        if not tool.spec.approval:
            return None
        approved = self._journal.state.answers.get(wait_id_of("approval", self._call.part)) == "approved"
        if approved or self._call.step is not None:
            return None
        if _unreadable(self._call.call.input) or self._work.parts.tools.check(tool.spec, self._call.call.input):
            return None  # Nobody is asked about a call that cannot be made.
        return approval_of(
            tool.spec.name,
            part=self._call.part,
            tool_call_id=self._call.call.tool_call_id,
            agent=self._acting.tag,
            now=self._clock.now(),
        )

    def _wait(self, wait: Wait) -> Wait | None:
        if self._work.parts.timers is not None:
            return wait
        if not self._step:
            self._begin()
        self._end(_error(self._clock.now(), ToolFailure.FAILED, NO_WAIT_SENTENCE))
        return None

    def _answered(self) -> ToolEnd | None:
        """The call's result, where what it waited for has come or can come no more."""
        answers, now = self._journal.state.answers, self._clock.now()
        approval = answers.get(wait_id_of("approval", self._call.part))
        if approval == "denied":
            note = self._work.notes.get(wait_id_of("approval", self._call.part), "")
            return _error(now, ToolFailure.DENIED, f"{DENIED_SENTENCE} {note}".strip())
        if approval == "expired":
            return _error(now, ToolFailure.EXPIRED, EXPIRED_SENTENCE)
        given = answers.get(wait_id := wait_id_of("input", self._call.part))
        if given == "expired":
            return _error(now, ToolFailure.EXPIRED, EXPIRED_SENTENCE)
        if given == "input" and wait_id in self._work.inputs:
            return ToolEnd(state="completed", output=self._work.inputs[wait_id], started_at=now, ended_at=now, tries=1)
        if answers.get(wait_id_of("timer", self._call.part)) == "timer":
            return ToolEnd(state="completed", output="The time has come.", started_at=now, ended_at=now, tries=1)
        return None

    def _progress(self, progress: Any) -> None:
        moment = self._clock.monotonic()
        if moment - self._told_at < PROGRESS_SECONDS:
            return
        self._told_at = moment
        shown, _ = cut_output(progress, PROGRESS_BYTES)
        self._journal.put(e.ToolProgress, **self._head, state="running", progress=shown)


def _unreadable(arguments: Any) -> str | None:
    """Why the arguments, as the model sent them, are no object; None where they are one."""
    if isinstance(arguments, dict):
        return None
    try:
        json.loads(str(arguments))
    except ValueError as error:
        return f"The arguments are no JSON: {error}."
    return "The arguments are no JSON object."


def _error(ended_at: datetime, failure: ToolFailure, sentence: str, *, started_at: datetime | None = None) -> ToolEnd:
    return ToolEnd(
        state="error", error=sentence, failure=failure, started_at=started_at or ended_at, ended_at=ended_at, tries=0
    )
