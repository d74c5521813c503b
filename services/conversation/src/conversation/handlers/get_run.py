"""Get one run."""

from dataclasses import replace

from conversation.domain.entities import OPEN, Message, Run
from conversation.handlers.access import access_run
from conversation.ports import Parts


async def get_run(parts: Parts, user_id: str, run_id: str, *, commanding: bool = False) -> tuple[Run, Message | None]:
    """The run, and once it has ended its stored answer. `commanding` refuses whoever may only watch."""
    run, answer = await access_run(parts, user_id, run_id, "write" if commanding else "read")
    if run.status in OPEN and answer is not None and answer.waiting:
        return replace(run, status="waiting"), None
    if run.status in OPEN:
        # A checkpoint writes the message only (one write), so the message is what knows that the run has begun.
        return (run if answer is None or answer.status not in OPEN else replace(run, status=answer.status)), None
    return run, answer
