"""Which agent a run has been handed to, read from its tool calls."""

from typing import Final

from contracts.parts import ToolCallPart
from contracts.run_state import RunState

HAND_OFF: Final = "hand_off"
"""The name of the tool."""


def hand_over_output(agent: str, task: str) -> dict[str, str]:
    """The result of the tool call that hands over."""
    return {"agent": agent, "task": task}


def last_hand_over(state: RunState) -> tuple[int, str, str] | None:
    """`(part, agent, task)` of the newest call that handed over; None where nobody did."""
    for number in sorted(state.parts, reverse=True):
        call = state.parts[number].value
        if isinstance(call, ToolCallPart) and call.name == HAND_OFF and call.state == "completed":
            output = call.output
            if isinstance(output, dict) and isinstance(output.get("agent"), str):
                return number, output["agent"], str(output.get("task", ""))
    return None
