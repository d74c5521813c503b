"""What a run waits for, and what becomes of the tool call that made it wait."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from contracts.commands import DecideApproval, ProvideInput
from contracts.run_state import Waiting
from contracts.times import parse_rfc3339

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


@dataclass(frozen=True, slots=True)
class Resumption:
    """Why a run that waits goes on: as contracts.events.RunResumed."""

    reason: str
    by: str = ""


def resumption_of(
    waiting: Waiting,
    inputs: Mapping[str, ProvideInput],
    decisions: Mapping[str, DecideApproval],
    now: datetime,
) -> Resumption | None:
    """What there is for a run that waits, among its commands or by the clock; None where it waits on. An answer that was
    given after the wait had expired comes too late."""
    expires_at = parse_rfc3339(waiting.expires_at) if waiting.expires_at is not None else None
    given, decided = inputs.get(waiting.wait_id), decisions.get(waiting.wait_id)
    if waiting.reason == "input" and given is not None and not _is_late(given.at, expires_at):
        return Resumption("input", given.by)
    if waiting.reason == "approval" and decided is not None and not _is_late(decided.at, expires_at):
        return Resumption("approved" if decided.approved else "denied", decided.by)
    if expires_at is None or now < expires_at:
        return None
    return Resumption("timer" if waiting.reason == "timer" else "expired")


def _is_late(at: str, expires_at: datetime | None) -> bool:
    return expires_at is not None and parse_rfc3339(at) > expires_at


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
