"""Built in: tools that are declared here and carried out by the engine: asking the user, waiting, handing over.

Calling one does nothing by itself; it says what the run waits for, or who goes on, and the engine writes that to the log.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from inference.tools.adapters.function_tool import FunctionTool
from inference.tools.domain.outcome import HandOff, Suspend, ToolFailedError, ToolFailure
from inference.tools.ports import Now

LONGEST_WAIT: Final = timedelta(days=5)
"""Within what the stream of run logs keeps (contracts.topology.RUNS, a week): what the run has to go on with must still be
there. For later than that there are schedules of a thread."""
ANSWER_WITHIN: Final = timedelta(days=1)

Question = Annotated[str, Field(min_length=1, max_length=2000, description="What the user reads.")]
Options = Annotated[
    list[str] | None, Field(max_length=20, description="Answers to choose from; leave out for a free answer.")
]
Seconds = Annotated[float | None, Field(gt=0, description="How long to wait, 432000 at most.")]
Until = Annotated[str | None, Field(max_length=64, description="RFC 3339 time with its offset; instead of seconds.")]
Task = Annotated[
    str, Field(min_length=1, max_length=8000, description="What it shall do, with all that it needs to know.")
]


def ask_user_tool(now: Now, *, answer_within: timedelta = ANSWER_WITHIN) -> FunctionTool:
    """The tool `ask_user`: the run waits for `POST /v1/runs/{id}/input`."""

    def ask_user(question: Question, options: Options = None) -> Suspend:
        answer: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 10_000}
        if options:
            answer = {"type": "string", "enum": options}
        return Suspend(
            reason="ask_user",
            prompt=question,
            schema={
                "type": "object",
                "properties": {"answer": {**answer, "description": question}},
                "required": ["answer"],
                "additionalProperties": False,
            },
            expires_at=now() + answer_within,
        )

    return FunctionTool(
        ask_user,
        description="Ask the user one question and wait for the answer. Only where you cannot go on without it.",
        kind="builtin",
        timeout=5.0,
    )


def wait_tool(now: Now) -> FunctionTool:
    """The tool `wait`: the run goes on by a timer of the log."""

    def wait(seconds: Seconds = None, until: Until = None) -> Suspend:
        if (seconds is None) == (until is None):
            raise _wrong("Give either seconds or until.")
        moment = now()
        wake_at = moment + timedelta(seconds=min(seconds, 1e9)) if seconds is not None else _parsed(until or "")
        if wake_at - moment > LONGEST_WAIT:
            raise _wrong(f"A wait lasts {LONGEST_WAIT.days} days at most.")
        return Suspend(reason="wait", wake_at=max(moment, wake_at))

    return FunctionTool(
        wait,
        description="Let some time pass, seconds to days, before going on. The user may leave meanwhile.",
        kind="builtin",
        timeout=5.0,
    )


def hand_off_tool(agents: Mapping[str, str]) -> FunctionTool:
    """The tool `hand_off` to one of `agents` (name and what it is good at), which an agent's configuration names."""
    names = tuple(sorted(agents))
    if not names:
        raise ValueError("hand_off needs an agent to hand over to")
    chosen: Any = Annotated[Literal[names], Field(description="Who goes on.")]

    def hand_off(agent: str, task: Task) -> HandOff:
        return HandOff(agent=agent, task=task)

    # Which agents there are is known only here; the schema is made from the annotations.
    hand_off.__annotations__["agent"] = chosen
    who = "; ".join(f"{name}: {agents[name]}" for name in names)
    return FunctionTool(
        hand_off, description=f"Let another agent finish the answer. {who}", kind="builtin", timeout=5.0
    )


def _wrong(sentence: str) -> ToolFailedError:
    return ToolFailedError(sentence, failure=ToolFailure.ARGUMENTS)


def _parsed(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _wrong(f"{text!r} is no time such as 2026-11-21T09:00:00+01:00.") from error
    if moment.tzinfo is None:
        raise _wrong(f"{text!r} has no offset; write 2026-11-21T09:00:00+01:00, or Z for UTC.")
    return moment.astimezone(UTC)
