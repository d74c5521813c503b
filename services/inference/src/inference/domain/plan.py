"""What a worker does with a run that it has just claimed, decided from the run's folded log."""

from dataclasses import dataclass

from contracts.codes import RunFailure
from contracts.events import (
    AttemptStarted,
    RunEvent,
    RunStarted,
    StepStarted,
    TextRetracted,
    UsageReported,
)
from contracts.parts import ReasoningPart, TextPart
from contracts.registry import Continuation
from contracts.run_state import RunState, StatePart

from inference.domain.estimate import tokens_of_text

FRUITLESS_ATTEMPTS = 3
"""So many attempts in a row that added nothing: the run itself is what kills workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
    """A model call of an earlier attempt that never came to its end and is not in the ledger yet.

    `output_tokens` is estimated from what it wrote; its input is estimated once the context is known.
    """

    attempt: int
    step: int
    output_tokens: int
    reasoning_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Text of the interrupted step to go on from, in the part numbered `part`."""

    part: int
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Somebody stopped the run before this attempt."""

    by: str
    interrupted: Interrupted | None


@dataclass(frozen=True, slots=True)
class Fail:
    """The run cannot go on."""

    code: RunFailure
    sentence: str
    interrupted: Interrupted | None


@dataclass(frozen=True, slots=True)
class Complete:
    """Every step is finished; only the terminal event is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Call the model for `step`: from the beginning, after `prefix`, or after taking back what an attempt wrote."""

    step: int
    prefix: Prefix | None = None
    retract_from: int | None = None
    interrupted: Interrupted | None = None


Plan = Cancel | Fail | Complete | Generate


def plan_attempt(
    state: RunState, *, continuation: Continuation, cancelled_by: str | None, fruitless: int, seconds_left: float
) -> Plan:
    """What the next attempt does for a run that has not ended. `fruitless` counts the attempts at the end of the log that
    died and added nothing."""
    interrupted = _interrupted(state)
    if cancelled_by is not None:
        return Cancel(cancelled_by, interrupted)
    if fruitless >= FRUITLESS_ATTEMPTS:
        sentence = f"The answer was given up: {fruitless} attempts in a row ended before the first word."
        return Fail(RunFailure.POISON, sentence, interrupted)
    if seconds_left <= 0:
        return Fail(RunFailure.DEADLINE, DEADLINE_SENTENCE, interrupted)
    if state.open_step is None and state.steps_finished:
        return Complete()
    if state.open_step is None:
        return Generate(step=state.steps_finished + 1)
    prefix = _prefix(state) if continuation == "prefix" else None
    written = _parts_of_open_step(state)
    return Generate(
        step=state.open_step.step,
        prefix=prefix,
        retract_from=state.open_step.sequence if written and prefix is None else None,
        interrupted=interrupted,
    )


DEADLINE_SENTENCE = "The answer was not finished in time. What is shown is stored; ask again for a whole answer."


def is_progress(event: RunEvent) -> bool:
    """Whether an event shows that its attempt got somewhere, other than starting and clearing up after the one before."""
    if isinstance(event, UsageReported):
        return event.of_attempt == event.attempt
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


def _parts_of_open_step(state: RunState) -> list[tuple[int, StatePart]]:
    step = state.open_step
    if step is None:
        return []
    return [
        (number, part)
        for number, part in sorted(state.parts.items())
        if part.opened_at >= step.sequence and isinstance(part.value, TextPart | ReasoningPart)
    ]


def _prefix(state: RunState) -> Prefix | None:
    """The text to go on from, when it is the last thing that was written."""
    parts = _parts_of_open_step(state)
    if not parts:
        return None
    number, last = parts[-1]
    texts = [part.value for _, part in parts if isinstance(part.value, TextPart)]
    if not isinstance(last.value, TextPart) or len(texts) != 1:
        return None
    return Prefix(part=number, text=last.value.text)


def _interrupted(state: RunState) -> Interrupted | None:
    step = state.open_step
    if step is None or step.kind != "model":
        return None
    if any(entry.attempt == step.attempt and entry.step == step.step for entry in state.ledger):
        return None
    # What a continued part held when this call began was written, and billed, by the calls before it.
    carried, text, reasoning = step.carried, 0, 0
    for _, part in _parts_of_open_step(state):
        if isinstance(part.value, TextPart | ReasoningPart):
            tokens = tokens_of_text(part.value.text[carried:])
            carried = max(0, carried - len(part.value.text))
            if isinstance(part.value, ReasoningPart):
                reasoning += tokens
            else:
                text += tokens
    return Interrupted(attempt=step.attempt, step=step.step, output_tokens=text + reasoning, reasoning_tokens=reasoning)
