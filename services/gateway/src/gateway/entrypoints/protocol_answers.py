"""Answers to what a run waits for, as client protocols bring them."""

from datetime import UTC, datetime

from contracts.codes import Code
from contracts.commands import CancelRun, DecideApproval, ProvideInput

from gateway.domain.problems import Refusal
from gateway.domain.records import Run
from gateway.entrypoints.schemas import check_value
from gateway.entrypoints.wiring import Wiring
from gateway.handlers.answer_wait import decide_approval, provide_input
from gateway.handlers.cancel_run import cancel_run

SETTLED = (Code.ALREADY_ANSWERED, Code.RUN_FINISHED)
"""Somebody was first, or this very answer came before: the client is shown what follows, whoever gave it."""


async def answer_wait(
    wiring: Wiring, user_id: str, run: Run, answer: ProvideInput | DecideApproval | CancelRun
) -> None:
    """Carry out an answer (its `by` and `at` are set anew); durable when this returns. Raises Refusal, UnavailableError."""
    now = datetime.now(UTC)
    try:
        match answer:
            case DecideApproval():
                await decide_approval(
                    wiring.conversation,
                    wiring.log,
                    user_id,
                    run.id,
                    wait_id=answer.wait_id,
                    approved=answer.approved,
                    note=answer.note,
                    now=now,
                )
            case ProvideInput():
                await provide_input(
                    wiring.conversation,
                    wiring.log,
                    user_id,
                    run.id,
                    wait_id=answer.wait_id,
                    value=answer.value,
                    check=check_value,
                    now=now,
                )
            case CancelRun():
                await cancel_run(wiring.conversation, wiring.log, user_id, run.id, now=now)
    except Refusal as refusal:
        if refusal.code not in SETTLED:
            raise
