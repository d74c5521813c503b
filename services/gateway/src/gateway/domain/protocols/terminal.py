"""The end of a run, from its folded state: what the log's last event said."""

from typing import TypedDict

from contracts import events as e
from contracts.run_state import RunState


class _Head(TypedDict):
    thread_id: str
    run_id: str
    sequence: int
    attempt: int
    at: str
    message_id: str


def terminal_event(state: RunState) -> e.Terminal | None:
    """The terminal event that `state` was folded from, or None while the run goes on."""
    head = _Head(
        thread_id=state.thread_id,
        run_id=state.run_id,
        sequence=state.sequence,
        attempt=state.attempt,
        at=state.ended_at or "",
        message_id=state.message_id,
    )
    match state.status:
        case "complete":
            return e.RunCompleted(**head, usage=state.usage, cost_microusd=state.cost_microusd)
        case "error":
            code, message = state.error_code or "internal", state.error_message or "The run failed."
            return e.RunFailed(**head, code=code, message=message, usage=state.usage, cost_microusd=state.cost_microusd)
        case "cancelled":
            by = state.cancelled_by or ""
            return e.RunCancelled(**head, by=by, usage=state.usage, cost_microusd=state.cost_microusd)
        case _:
            return None
