"""What a message does while another answer of its thread goes on, and the commands that this needs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec
from contracts.codes import Code
from contracts.commands import CancelRun, SteerRun
from contracts.subjects import run_subject
from contracts.times import rfc3339

from conversation.domain.acceptance import NewMessage, Place, Timing
from conversation.domain.entities import DURABLE, OPEN, Message, Outgoing, Run, Thread
from conversation.domain.refusals import RefusedError

Policy = Literal["reject", "enqueue", "interrupt", "steer"]
POLICIES: Final[tuple[Policy, ...]] = ("reject", "enqueue", "interrupt", "steer")
MOST_QUEUED: Final = 50
LATEST: Final = timedelta(days=366)
"""How far ahead a message may be sent for later."""


def check_policy(text: str) -> str:
    """A policy's name; empty means none. Refuses what is none."""
    if text and text not in POLICIES:
        raise RefusedError(Code.BODY_INVALID, f"on_busy is {text[:40]!r}; it must be one of {', '.join(POLICIES)}.")
    return text


def check_run_at(run_at: datetime | None, now: datetime) -> datetime | None:
    """When a message for later is answered; None for one that is answered now, as one in the past is."""
    if run_at is None or run_at <= now:
        return None
    if run_at > now + LATEST:
        raise RefusedError(Code.SCHEDULE_INVALID, f"run_at is more than {LATEST.days} days ahead.")
    return run_at


def policy_of(message: NewMessage, thread: Thread) -> Policy:
    """The message's policy, else the thread's, else enqueue. Answering anew and results cannot steer: they have nothing to say."""
    wanted = message.on_busy or thread.on_busy
    found: Policy = next((policy for policy in POLICIES if policy == wanted), "enqueue")
    return "enqueue" if found == "steer" and (message.answers_message_id or message.results) else found


def place_behind(message: NewMessage, ahead: Sequence[Run], question: Message | None) -> Place:
    """Where the answer belongs while others, newest first, go on. A legacy run cannot be held: it begins beside them."""
    if not ahead:
        return Place(question=question)
    if len(ahead) > MOST_QUEUED:
        raise RefusedError(
            Code.LIMIT_REACHED, f"{len(ahead)} answers of this thread have not ended yet; wait for some of them."
        )
    return Place(question=question, held="queue" if message.path == DURABLE else "", behind=ahead[0].id)


def steerable(ahead: Sequence[Run]) -> Run | None:
    """The run that a message can join: the one that goes on, if a worker follows its commands between steps."""
    return ahead[-1] if ahead and ahead[-1].path == DURABLE else None


def begun(run: Run, now: datetime, timing: Timing) -> Run:
    """A held run that begins now: its time counts from here."""
    return replace(
        run, held="", behind="", deadline_at=now + timing.run, check_at=now + timing.first_check, start_at=None
    )


def is_open(run: Run | None) -> bool:
    """The run exists and has not ended."""
    return run is not None and run.status in OPEN


def cancel_command(run: Run, by: str, now: datetime) -> Outgoing:
    """Stop a run; the same message id as a gateway's, so that it is stopped once."""
    return _command(run, CancelRun(by=by, at=rfc3339(now)), f"{run.id}:cancel")


def steer_command(run: Run, message: Message, now: datetime) -> Outgoing:
    """Have a message join a run."""
    command = SteerRun(text=message.content, by=message.user_id, at=rfc3339(now), message_id=message.id)
    return _command(run, command, f"{message.id}:steer")


def _command(run: Run, command: CancelRun | SteerRun, message_id: str) -> Outgoing:
    subject = run_subject(run.thread_id, run.id, "command")
    return Outgoing(subject=subject, payload=msgspec.json.encode(command), message_id=message_id)
