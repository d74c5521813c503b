"""Tell what was changed of the rollout: to whoever audits it, and to alerts that listen."""

from datetime import datetime
from typing import Final

import structlog
from bus.errors import BusError
from contracts.audit import RolloutChanged
from contracts.times import rfc3339

from gateway.domain.path_flag import FLAG
from gateway.ports import Flags
from gateway.rollout_ports import Audit

logger = structlog.get_logger()

AT_ONCE: Final = 100


async def tell_changes(flags: Flags, audit: Audit) -> int:
    """Tell every revision of the flag that was not told yet, whoever made it; returns how many. Whoever changes something calls
    this, and the guard at each of its turns: what a process that died left untold is told by the next. Idempotent."""
    told = await audit.told_revision()
    if flags.state.revision <= told:
        return 0
    untold = list(reversed(await flags.history(AT_ONCE, after=told)))
    for revision, said in untold:
        await audit.tell(
            RolloutChanged(
                id=f"{FLAG}-{revision}",
                change=str(said.get("change", "edited")),
                by=str(said.get("changed_by", "")),
                at=str(said.get("changed_at", "")),
                why=str(said.get("why", "")),
                revision=revision,
                share=said.get("share"),
            )
        )
    return len(untold)


async def tell_soon(flags: Flags, audit: Audit) -> None:
    """The same for whoever has just changed something and need not wait for it: what cannot be told now is told later."""
    try:
        await tell_changes(flags, audit)
    except BusError as error:
        logger.warning("audit.postponed", error=str(error))


async def tell_steering(audit: Audit, change: str, *, revision: int, by: str, why: str, now: datetime) -> None:
    """Tell a change of the guard that is none of the flag: paused, resumed. `revision` is its state's. Raises BusError."""
    await audit.tell(RolloutChanged(id=f"guard-{revision}", change=change, by=by, at=rfc3339(now), why=why))
