"""What a run waits for, and what becomes of the tool call that made it wait."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from inference.tools.domain.outcome import Suspend

WaitReason = Literal["timer", "input", "approval"]
_REASONS: Final[Mapping[str, WaitReason]] = {"wait": "timer", "ask_user": "input", "approval": "approval"}
APPROVE_WITHIN: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a run lets go of its process: as contracts.events.RunWaiting. A timer ends well at `expires_at`, anything else
    badly."""

    reason: WaitReason
    wait_id: str
    tool_call_id: str
    expires_at: datetime
    prompt: str = ""
    schema: Any = None
    agent: str | None = None


def wait_id_of(reason: WaitReason, part: int) -> str:
    """The id of the wait that the call in the part numbered `part` makes: the same however often the call is repeated."""
    return f"{reason}-{part}"


def wait_of(suspend: Suspend, *, part: int, tool_call_id: str, agent: str | None, now: datetime) -> Wait:
    """The wait that a tool has asked for."""
    reason = _REASONS[suspend.reason]
    return Wait(
        reason=reason,
        wait_id=wait_id_of(reason, part),
        tool_call_id=tool_call_id,
        expires_at=suspend.wake_at or suspend.expires_at or now + APPROVE_WITHIN,
        prompt=suspend.prompt,
        schema=suspend.schema,
        agent=agent,
    )


def approval_of(tool: str, *, part: int, tool_call_id: str, agent: str | None, now: datetime) -> Wait:
    """The wait for a person's yes to a call."""
    return Wait(
        reason="approval",
        wait_id=wait_id_of("approval", part),
        tool_call_id=tool_call_id,
        expires_at=now + APPROVE_WITHIN,
        prompt=f"May the tool {tool} be called with these arguments?",
        agent=agent,
    )
