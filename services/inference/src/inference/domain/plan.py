"""What a worker does next with a run, decided from the run's folded log: at the claim, and after every step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from contracts.codes import RunFailure
from contracts.events import (
    AttemptStarted,
    RunEvent,
    RunStarted,
    StepStarted,
    TextRetracted,
    ToolProgress,
    UsageReported,
)
from contracts.parts import ReasoningPart, TextPart, ToolCallPart
from contracts.registry import Continuation
from contracts.run_state import FinishedStep, OpenStep, RunState, StatePart

from inference.domain.endings import Failed, failure_of
from inference.domain.estimate import tokens_of_text

FRUITLESS_ATTEMPTS = 3
"""So many attempts in a row that added nothing: the run itself is what kills workers."""
DEADLINE_SENTENCE = "The answer was not finished in time. What is shown is stored; ask again for a whole answer."


@dataclass(frozen=True, slots=True)
class Lane:
    """One line of work in a run: all of its steps, or in a panel those of the agent `member`. `hears`: what the members
    before it have said is part of its context. `reopens`: what the user says after its answer is answered, too."""

    member: str | None = None
    hears: bool = False
    reopens: bool = True

    def has(self, agent: str | None) -> bool:
        """Whether what is tagged with `agent` belongs to it."""
        return self.member is None or self.member == agent


WHOLE_RUN = Lane()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A model call that never came to its end and is not in the ledger yet, as far as the log tells what it used."""

    attempt: int
    step: int
    model: str
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Text of the interrupted step to go on from, in the part numbered `part`."""

    part: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallModel:
    """Call a model. `step` is that of an interrupted call, None for a new one: gone on from `prefix`, or made anew after
    taking back what was written. `model` is the one that was interrupted."""

    step: int | None = None
    model: str = ""
    prefix: Prefix | None = None
    retract_from: int | None = None
    interrupted: Interrupted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndStep:
    """All that the model said, or the tool's result, is in the log; only the end of the step is missing."""

    step: int
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A tool call without a result. `part` is its number, `asked_in` the model step that asked for it, `step` its own where
    it had begun: it may have been carried out, and is repeated with the same key."""

    part: int
    call: ToolCallPart
    asked_in: int
    step: int | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class CallTools:
    """Carry out these calls, at once."""

    calls: tuple[OpenCall, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The model had the last word. `failed` where it was a refusal. `left_to_client`: its last word are calls of the client's
    tools, which nobody here carries out."""

    failed: Failed | None = None
    left_to_client: bool = False


Plan = CallModel | EndStep | CallTools | Answered


def plan_next(
    state: RunState,
    lane: Lane,
    *,
    continuation: Callable[[str], Continuation],
    left_to_client: frozenset[str] = frozenset(),
) -> Plan:
    """What comes next in `lane`. `continuation`: what a model, by its id, wants done with the text of an interrupted call.
    `left_to_client` are the names of the client's own tools."""
    for step in state.open_steps.values():
        if step.kind == "model" and lane.has(step.agent):
            return _go_on(state, step, continuation(step.name))
    ended = {
        part.value.tool_call_id
        for part in tool_parts(state, lane)
        if isinstance(part.value, ToolCallPart) and part.value.state in ("completed", "error")
    }
    for step in state.open_steps.values():
        if step.kind == "tool" and step.tool_call_id in ended:
            return EndStep(step=step.step)
    calls = open_calls(state, lane)
    mine = tuple(call for call in calls if call.call.name not in left_to_client)
    if mine:
        return CallTools(mine)
    if calls:
        return Answered(left_to_client=True)
    last = last_model_step(state, lane)
    if last is None or any(part.step == last.step for part in tool_parts(state, lane)):
        return CallModel()
    # What the user said after the model had begun its last answer has not been answered.
    if lane.reopens and any(steer.after_step >= last.step for steer in state.steers):
        return CallModel()
    return Answered(failure_of(finish_reason=last.finish_reason or "", refusal="", asked_for_tools=False))


def _go_on(state: RunState, step: OpenStep, continuation: Continuation) -> Plan:
    if step.finish_reason is not None:
        return EndStep(step=step.step, finish_reason=step.finish_reason)
    prefix = _prefix(state, step) if continuation == "prefix" else None
    written = _texts(state, step)
    return CallModel(
        step=step.step,
        model=step.name,
        prefix=prefix,
        retract_from=step.sequence if written and prefix is None else None,
        interrupted=_interrupted(state, step),
    )


def open_calls(state: RunState, lane: Lane) -> tuple[OpenCall, ...]:
    """The tool calls without a result, in their order."""
    begun = {step.tool_call_id: step.step for step in state.open_steps.values() if step.kind == "tool"}
    return tuple(
        OpenCall(
            part=number,
            call=part.value,
            asked_in=part.step,
            step=begun.get(part.value.tool_call_id),
            agent=part.agent,
        )
        for number, part in sorted(state.parts.items())
        if lane.has(part.agent) and isinstance(part.value, ToolCallPart) and part.value.state in ("pending", "running")
    )


def tool_parts(state: RunState, lane: Lane) -> Iterable[StatePart]:
    """Every tool call of the lane."""
    return (part for part in state.parts.values() if isinstance(part.value, ToolCallPart) and lane.has(part.agent))


def last_model_step(state: RunState, lane: Lane) -> FinishedStep | None:
    """The newest finished one."""
    steps = (step for step in reversed(state.steps) if step.kind == "model" and lane.has(step.agent))
    return max(steps, key=lambda step: step.step, default=None)


def check_attempt(*, fruitless: int, seconds_left: float) -> Failed | None:
    """Why a run that was just claimed is ended at once. `fruitless` counts the attempts at the end of the log that died and
    added nothing."""
    if fruitless >= FRUITLESS_ATTEMPTS:
        sentence = f"The answer was given up: {fruitless} attempts in a row ended before they had added a word."
        return Failed(RunFailure.POISON, sentence)
    if seconds_left <= 0:
        return Failed(RunFailure.DEADLINE, DEADLINE_SENTENCE)
    return None


def is_progress(event: RunEvent) -> bool:
    """Whether an event shows that its attempt got somewhere, other than starting and clearing up after the one before."""
    if isinstance(event, UsageReported):
        return event.of_attempt == event.attempt
    if isinstance(event, ToolProgress):
        return event.progress is not None
    return not isinstance(event, RunStarted | AttemptStarted | StepStarted | TextRetracted)


class FruitlessCount:
    """Counts, event by event, the attempts at the end of a log that made no progress."""

    def __init__(self) -> None:
        self.count = 0

    def see(self, event: RunEvent) -> None:
        """The next event of the log."""
        if isinstance(event, AttemptStarted):
            self.count += 1
        elif is_progress(event):
            self.count = 0


def interrupted_calls(state: RunState) -> list[Interrupted]:
    """The calls of every open model step that the ledger does not have."""
    found = (_interrupted(state, step) for step in state.open_steps.values() if step.kind == "model")
    return [call for call in found if call is not None]


def _texts(state: RunState, step: OpenStep) -> list[tuple[int, StatePart]]:
    return [
        (number, part)
        for number, part in sorted(state.parts.items())
        if part.step == step.step and isinstance(part.value, TextPart | ReasoningPart)
    ]


def _prefix(state: RunState, step: OpenStep) -> Prefix | None:
    """The text to go on from, when it is the last thing that was written."""
    parts = _texts(state, step)
    if not parts:
        return None
    number, last = parts[-1]
    texts = [part.value for _, part in parts if isinstance(part.value, TextPart)]
    if not isinstance(last.value, TextPart) or len(texts) != 1:
        return None
    return Prefix(part=number, text=last.value.text)


def _interrupted(state: RunState, step: OpenStep) -> Interrupted | None:
    if any(entry.attempt == step.attempt and entry.step == step.step for entry in state.ledger):
        return None
    # What a continued part held when this call began was written, and billed, by the calls before it.
    carried, text, reasoning = step.carried, 0, 0
    for _, part in _texts(state, step):
        if isinstance(part.value, TextPart | ReasoningPart):
            tokens = tokens_of_text(part.value.text[carried:])
            carried = max(0, carried - len(part.value.text))
            if isinstance(part.value, ReasoningPart):
                reasoning += tokens
            else:
                text += tokens
    return Interrupted(
        attempt=step.attempt,
        step=step.step,
        model=step.name,
        input_tokens=step.input_tokens,
        output_tokens=text + reasoning,
        reasoning_tokens=reasoning,
        agent=step.agent,
    )
