"""What the handlers need from outside, as Protocols; the adapters that fulfil them meet the handlers in bootstrap."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from contracts.registry import Model
from contracts.usage import Usage

from inference.domain.adoption import AdoptAnswer
from inference.domain.tool_calls import ToolRequest


@dataclass(frozen=True, slots=True)
class InputMessage:
    """One message for the model. `role` is system, user or assistant."""

    role: str
    content: str


class RunGoneError(Exception):
    """The run, or its thread, does not exist (any more). Final."""


class InputUnavailableError(Exception):
    """The conversation service did not answer. Nothing is known; ask again."""


class RunInputs(Protocol):
    """Where a run's context comes from."""

    async def get(self, run_id: str) -> Sequence[InputMessage]:
        """What the model shall be sent, oldest first. Raises RunGoneError, InputUnavailableError. Idempotent."""


class Sink(Protocol):
    """Takes what the model says, as it says it. Neither call blocks."""

    def text(self, delta: str) -> None:
        """More of the answer."""

    def reasoning(self, delta: str) -> None:
        """More of what the model says to itself."""

    @property
    def is_full(self) -> bool:
        """So much waits to be stored that the reader must await `room` before it reads on."""

    @property
    def is_over(self) -> bool:
        """The answer has reached its largest size: the reader stops, as if the provider had said `length`."""

    async def room(self) -> None:
        """Return when there is room again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of a model. `prefix`: text the answer begins with, to be gone on from; it is not sent again."""

    model: Model
    messages: Sequence[InputMessage]
    prefix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A call that came to its end. `usage` is the provider's own, None where it never told; `refusal` the model's words
    where it declined."""

    finish_reason: str
    refusal: str = ""
    usage: Usage | None = None
    tool_requests: list[ToolRequest] = field(default_factory=list)


class Models(Protocol):
    """The model providers."""

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        """Make one streaming call; what comes goes into `sink` at once. Raises UpstreamError; never retries by itself.
        Cancelling it closes the connection to the provider, which is how the provider is told to stop."""


class Clock(Protocol):
    """Time."""

    def now(self) -> datetime:
        """The time of day, in UTC."""

    def stamp(self) -> str:
        """`now` as events carry it."""

    def monotonic(self) -> float:
        """Seconds from some fixed moment; for durations."""


class Telemetry(Protocol):
    """Spans of the handlers' own."""

    def attempt(self, *, run_id: str, attempt: int, path: str, goes_on: bool) -> AbstractContextManager[None]:
        """The span of one attempt. `goes_on`: the run was tried before, so this is a root of its own with a link to the
        trace that the delivery came with."""


class Peers(Protocol):
    """The other workers."""

    async def adopt(self, worker: str, run_id: str, reply: str, stream_sequence: int) -> AdoptAnswer:
        """Whether `worker` executes the run and beats for this delivery from now on; `no` where it does not answer."""
