"""What the handlers need from outside, as Protocols; the adapters that fulfil them meet the handlers in bootstrap."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bus.api import RunLog
from contracts.client_tools import ClientTools
from contracts.registry import Model, Registry
from contracts.usage import Usage

from inference.agents.domain.config import AgentConfig, Agents
from inference.agents.domain.context import ToolUse
from inference.domain.adoption import AdoptAnswer
from inference.domain.retry import RetryPolicy
from inference.domain.run_input import RunInput
from inference.domain.tool_calls import ToolRequest
from inference.retrieval.domain.ranking import Passage
from inference.tools.domain.choice import Situation
from inference.tools.domain.spec import ToolSpec
from inference.tools.toolbox import Offered


@dataclass(frozen=True, slots=True)
class InputMessage:
    """One message for the model. `role` is system, user, assistant or tool. An assistant's may ask for `calls`; a tool's
    answers the call `tool_call_id`."""

    role: str
    content: str
    calls: tuple[ToolUse, ...] = ()
    tool_call_id: str = ""


class RunGoneError(Exception):
    """The run, or its thread, does not exist (any more). Final."""


class InputUnavailableError(Exception):
    """The conversation service did not answer. Nothing is known; ask again."""


class RunInputs(Protocol):
    """Where a run's context comes from."""

    async def get(self, run_id: str) -> RunInput:
        """What the run is made from. Raises RunGoneError, InputUnavailableError. Idempotent."""


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
        """The answer has reached its largest size, or what may be spent on it: the reader stops, as if the provider had said
        `length`."""

    async def room(self) -> None:
        """Return when there is room again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of a model. `prefix`: text the answer begins with, to be gone on from; it is not sent again. `tools` are
    offered to it. `max_output_tokens` is what the provider is told to say at most."""

    model: Model
    messages: Sequence[InputMessage]
    prefix: str = ""
    tools: Sequence[ToolSpec] = ()
    brought: ClientTools | None = None
    """The client's own tools, and what it wishes of their calls; offered beside `tools`."""
    max_output_tokens: int | None = None


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

    def attempt(
        self, *, run_id: str, attempt: int, path: str, goes_on: bool, resumes: bool = False
    ) -> AbstractContextManager[str | None]:
        """The span of one attempt, and the id of its trace where that is recorded. `goes_on`: the run was tried before, so this is a root of its own with a link to the
        trace that the delivery came with. `resumes`: it had waited, so nobody was lost."""


class Peers(Protocol):
    """The other workers."""

    async def adopt(self, worker: str, run_id: str, reply: str, stream_sequence: int) -> AdoptAnswer:
        """Whether `worker` executes the run and beats for this delivery from now on; `no` where it does not answer."""


class Passages(Protocol):
    """What users' documents hold. `corpora` come from `retrieval.domain.corpora.corpora_for`, so they are the user's to see."""

    async def passages(self, corpora: Sequence[str], query: str, *, limit: int) -> list[Passage]:
        """The best `limit` passages for `query`, the best first. Raises CorpusUnavailableError."""

    async def has_documents(self, corpora: Sequence[str]) -> bool:
        """Whether there is anything to search; so cheap that it is asked for every model step. Raises
        CorpusUnavailableError."""


class NoDocuments:
    """Implements Passages where there is no retrieval."""

    async def passages(self, corpora: Sequence[str], query: str, *, limit: int) -> list[Passage]:
        """Nothing."""
        return []

    async def has_documents(self, corpora: Sequence[str]) -> bool:
        """No."""
        return False


class Budgets(Protocol):
    """What users may spend. All calls are idempotent by `key`, which names one model call:
    `<run>:<step>:<attempt>:<model>`."""

    async def reserve(self, user_id: str, key: str, estimate_microusd: int) -> int | None:
        """Set aside what the call may cost. `estimate_microusd` is what the call costs at least: its input. The answer is the
        most that it may cost; a call that reaches it is stopped in the middle. None: no limit. 0, or less than the estimate:
        the call is not made, and the run ends with `budget_reached`. Where budgets cannot be asked, it decides by itself."""

    async def settle(self, user_id: str, key: str, spent_microusd: int) -> None:
        """The call has ended and cost so much; what was set aside beyond that is free again. The first time counts. Never
        raises: what nobody settles counts as spent once its reservation has expired."""

    async def correct(self, user_id: str, key: str, cost_microusd: int) -> None:
        """The ledger has so much for a call that another worker reserved and may have settled: that counts now. Never raises,
        like settle."""


class NoBudgets:
    """Implements Budgets where nobody has one."""

    async def reserve(self, user_id: str, key: str, estimate_microusd: int) -> int | None:
        """No limit."""
        return None

    async def settle(self, user_id: str, key: str, spent_microusd: int) -> None:
        """Nothing to do."""

    async def correct(self, user_id: str, key: str, cost_microusd: int) -> None:
        """Nothing to do."""


class Timers(Protocol):
    """Message schedules, one per run; bus.api.Bus fulfils it."""

    async def schedule(self, timer: str, *, at: datetime, target: str, data: bytes) -> None:
        """Have `data` stored at `target` at that time, in place of what `timer` held. Raises BusError."""

    async def unschedule(self, timer: str) -> None:
        """Take it back. Idempotent; it may have fired. Raises BusError."""


Cite = Callable[[Passage, str], None]
"""Takes a passage that a tool has found, with the words of it that are quoted."""


class Tools(Protocol):
    """The tools that agents may call."""

    async def offer(self, agent: AgentConfig, situation: Situation, cite: Cite) -> Offered:
        """Those of one model step: the agent's own ones, such as its hand-over, with those that it names. Never raises for a
        source that does not answer: its tools are missing then."""

    def check(self, spec: ToolSpec, arguments: Any) -> str | None:
        """See tools.ports.ArgumentCheck."""


class NoTools:
    """Implements Tools where there are none."""

    async def offer(self, agent: AgentConfig, situation: Situation, cite: Cite) -> Offered:
        """Nothing."""
        return Offered({}, {})

    def check(self, spec: ToolSpec, arguments: Any) -> str | None:
        """Nothing to check."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every attempt works with. Without `timers` a run cannot wait."""

    log: RunLog
    inputs: RunInputs
    models: Models
    registry: Registry
    clock: Clock
    retry: RetryPolicy
    max_answer_bytes: int
    agents: Agents
    tools: Tools = field(default_factory=NoTools)
    passages: Passages = field(default_factory=NoDocuments)
    budgets: Budgets = field(default_factory=NoBudgets)
    timers: Timers | None = None
