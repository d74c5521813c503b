"""What a run waits for, as client protocols ask about it."""

from collections.abc import Iterable

from contracts.events import RunWaiting
from contracts.parts import ToolCallPart
from contracts.run_state import Waiting


def asked_calls(wait: RunWaiting | Waiting, calls: Iterable[ToolCallPart]) -> list[str]:
    """The ids of the tool calls that a person is asked about: the one that the wait names; where it names none, all that have
    not begun. Empty where nobody is asked for an approval."""
    if wait.reason != "approval":
        return []
    pending = [call.tool_call_id for call in calls if call.state == "pending"]
    return [wait.tool_call_id] if wait.tool_call_id in pending else pending
