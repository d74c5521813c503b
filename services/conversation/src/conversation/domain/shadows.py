"""Shadow runs: what one path answered, answered once more by the other, unseen, so that both can be compared.

A shadow begins when the served answer has ended: its tools are answered from that answer's record, and it takes nothing from
the provider while a person waits. Its log is that of a thread which nobody has, so that no viewer, list or feed finds it; it
has no message and no entry in the ledger. Of what it wrote, only figures are kept.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from contracts.ids import MESSAGE, RUN, THREAD, derived_id
from contracts.run_state import RunState
from contracts.usage import Usage

from conversation.domain.acceptance import Timing, execute_command
from conversation.domain.entities import DURABLE, SHADOW, Outgoing, Run, Status

LOG_KEPT: Final = timedelta(minutes=2)
"""How long after its end a shadow's log is there: until the worker has let go of it."""
GRACE: Final = timedelta(minutes=5)
"""How long after its deadline a shadow is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """One shadow run. `thread_id` is that of its log. `checkpoints` counts what would have been shown of it on the way;
    `similarity` is from 0 to 1 and None until it has ended; `clear_at` is when its log goes."""

    id: str
    thread_id: str
    message_id: str
    served_run_id: str
    served_message_id: str
    model: str
    created_at: datetime
    clear_at: datetime | None
    status: Status = "pending"
    ended_at: datetime | None = None
    first_text_at: datetime | None = None
    usage: Usage | None = None
    cost_microusd: int | None = None
    error_code: str = ""
    attempts: int = 0
    checkpoints: int = 0
    equal: bool = False
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class ShadowPair:
    """A shadow beside the run that it repeats. `served_operations` are the database's for the served run."""

    served: Run
    shadow: Shadow
    served_operations: int | None


def shadow_thread(run_id: str) -> str:
    """The thread of a shadow's log, which is nobody's."""
    return derived_id(THREAD, SHADOW, run_id)


def is_shadow(state: RunState) -> bool:
    """Whether a log is that of a shadow; needs no look-up."""
    return state.thread_id == shadow_thread(state.run_id)


def plan_shadow(
    run: Run, state: RunState, *, now: datetime, timing: Timing, new_id: Callable[[str], str]
) -> tuple[Shadow, Outgoing] | None:
    """The shadow of a run that has just ended, and the command to carry it out. None where the message was not sampled, or
    where somebody stopped the answer or went away from it, so that there is nothing to compare."""
    if not run.shadowed or state.status == "cancelled":
        return None
    run_id = new_id(RUN)
    again = replace(
        run,
        id=run_id,
        thread_id=shadow_thread(run_id),
        message_id=new_id(MESSAGE),
        path=DURABLE,
        created_at=now,
        deadline_at=now + timing.run,
        revivals=0,
    )
    shadow = Shadow(
        id=run_id,
        thread_id=again.thread_id,
        message_id=again.message_id,
        served_run_id=run.id,
        served_message_id=run.message_id,
        model=run.model,
        created_at=now,
        clear_at=again.deadline_at + GRACE,
    )
    return shadow, execute_command(again, shadow_of=run.id)


def similarity(one: str, other: str) -> float:
    """How much of two texts is the same: Dice's coefficient over pairs of neighbouring words, 1 for equal texts. Linear in
    their length, where a difference of sequences is quadratic."""
    if one == other:
        return 1.0
    first, second = _pairs_of(one.split()), _pairs_of(other.split())
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 0.0


def _pairs_of(words: Iterable[str]) -> Counter[tuple[str, str]]:
    return Counter(pairwise(["", *words, ""]))
