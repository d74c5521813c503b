"""Calls that the model got wrong: told to it twice, then the run fails."""

from typing import Final

from contracts.codes import RunFailure
from contracts.parts import ToolCallPart
from contracts.run_state import RunState

from inference.domain.endings import Failed
from inference.domain.plan import Lane, tool_parts

MOST_IN_A_ROW: Final = 2
_THE_MODELS_OWN: Final = frozenset({"arguments", "unknown_tool"})


def wrong_calls(state: RunState, lane: Lane) -> Failed | None:
    """How the run ends where more than MOST_IN_A_ROW model steps in a row asked for what cannot be called."""
    by_step: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for part in tool_parts(state, lane):
        by_step.setdefault(part.step, [])
        if part.failure in _THE_MODELS_OWN and isinstance(part.value, ToolCallPart):
            by_step[part.step].append(part.failure)
            names[part.step] = part.value.name
    in_a_row = 0
    for step in sorted(by_step, reverse=True):
        if not by_step[step]:
            break
        in_a_row += 1
    if in_a_row <= MOST_IN_A_ROW:
        return None
    name = names[max(by_step)][:64]
    sentence = f"The model called the tool {name!r} wrongly {in_a_row} times in a row. Ask in other words, or choose another model."
    return Failed(RunFailure.TOOL_FAILED, sentence)
