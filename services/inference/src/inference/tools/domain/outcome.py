"""What can come of a tool call."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

SuspendReason = Literal["ask_user", "wait", "approval"]


class ToolFailure(StrEnum):
    """Why a call ended in an error. The engine counts `ARGUMENTS`: the model gets them back twice, then the step fails.
    `DENIED`, `EXPIRED` and `STOPPED` are a person's doing: said no, said nothing in time, ended the run."""

    UNKNOWN_TOOL = "unknown_tool"
    ARGUMENTS = "arguments"
    TIMEOUT = "timeout"
    FAILED = "failed"
    DENIED = "denied"
    EXPIRED = "expired"
    STOPPED = "stopped"


class ToolFailedError(Exception):
    """A tool says that it could not do it. The sentence is for the model, so it holds no secret.

    `retryable`: the same call may succeed a little later and repeating it does no harm. `failure` is `ARGUMENTS` where the
    model asked for what cannot be: it counts as a wrong call.
    """

    def __init__(self, sentence: str, *, retryable: bool = False, failure: ToolFailure = ToolFailure.FAILED) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retryable = retryable
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Output:
    """The tool did it. `value` is JSON."""

    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend:
    """The run waits and holds no process: for a person (`schema` describes the answer, `prompt` is what they read, at
    `expires_at` it fails closed) or for a time (`wake_at`)."""

    reason: SuspendReason
    prompt: str = ""
    schema: Any = None
    expires_at: datetime | None = None
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOff:
    """Another agent goes on in the same run; `task` is what it is told."""

    agent: str
    task: str


ToolOutcome = Output | Suspend | HandOff
"""What a tool's `call` returns; a failure is raised as ToolFailedError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEnd:
    """A call that came to its end, as `tool.result` carries it. `output` with state completed, `error` (a sentence for the
    model) and `failure` with state error. `tries` counts the calls made; `cut` says that the output was shortened."""

    state: Literal["completed", "error"]
    started_at: datetime
    ended_at: datetime
    tries: int
    output: Any = None
    error: str | None = None
    failure: ToolFailure | None = None
    cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSuspended:
    """The call stays open until the engine has what `suspend` waits for."""

    suspend: Suspend
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHandedOff:
    """The call is done and the run goes on as another agent."""

    hand_off: HandOff
    started_at: datetime
    ended_at: datetime


ToolRun = ToolEnd | ToolSuspended | ToolHandedOff
