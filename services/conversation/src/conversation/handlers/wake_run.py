"""Have a run that holds no process executed again: there is a command for it, or its timer has fired."""

from dataclasses import replace

from contracts.ids import RUN

from conversation.domain.acceptance import execute_command
from conversation.domain.entities import LEGACY, OPEN
from conversation.domain.queueing import begun
from conversation.domain.refusals import known_id
from conversation.ports import Parts


async def wake_run(parts: Parts, run_id: str, *, occasion: str, stops: bool) -> None:
    """Tell the workers once per `occasion`. Whoever executes the run already is not disturbed, and one who finds nothing to
    do lets it go again. A run that has not begun is woken only by what `stops` it. Nothing happens to one that has ended."""
    run = await parts.records.run(known_id(RUN, run_id))
    if run is None or run.status not in OPEN or run.path == LEGACY or (run.held and not stops):
        return
    command = execute_command(begun(run, parts.now(), parts.timing) if run.held else run)
    await parts.broker.say(replace(command, message_id=f"{run.id}:{occasion}"))
