"""What a person does with the rollout: another share, pause, resume, kill."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

import structlog
from bus.errors import RevisionConflictError
from contracts.codes import Code
from runtime import metrics
from runtime.names import Metric

from gateway.domain.guard import GuardState
from gateway.domain.path_flag import share_of, switched_off, with_share
from gateway.domain.problems import Refusal
from gateway.handlers.change_flag import change_flag
from gateway.ports import Flags, RolloutStore

logger = structlog.get_logger()

Steering = Literal["set", "pause", "resume", "kill"]


async def steer_rollout(
    flags: Flags, store: RolloutStore, action: Steering, *, share: int | None, by: str, why: str, now: datetime
) -> GuardState:
    """`set` gives that share and leaves the rollout to the person; `pause` and `resume` stop and start the guard, which goes on
    from the share there is; `kill` puts everybody on legacy_sync. Raises Refusal: of two at once one is told."""
    if (action == "set") != (share is not None):
        raise Refusal(Code.BODY_INVALID, "A share, from 0 to 100, goes with `set` and with nothing else.")
    state, revision = await store.load()
    there = share_of(flags.state.definition)
    before = state.share if there is None else there
    at = now.timestamp()
    if action == "set" and share is not None:
        after = replace(state, mode="paused", share=share, since=at, good=min(before, share), reason=why)
        definition = with_share(flags.state.definition, share)
        await change_flag(flags, definition, by=by, why=why, expected=flags.state.revision, now=now)
    elif action == "kill":
        after = replace(state, mode="paused", share=0, since=at, good=0, reason=why)
        definition = switched_off(flags.state.definition)
        await change_flag(flags, definition, by=by, why=why, expected=flags.state.revision, now=now)
    elif action == "pause":
        after = replace(state, mode="paused", share=before, reason=why)
    else:
        after = replace(state, mode="running", share=before, since=at, rollbacks=0, missing=0, reason=why)
    after = replace(after, gaps=await store.gaps())
    try:
        await store.save(after, expected=revision)
    except RevisionConflictError as error:
        raise Refusal(
            Code.REVISION_CONFLICT,
            "Somebody else, or the guard, changed the rollout at the same time; look and try again.",
        ) from error
    metrics.add(Metric.ROLLOUT_CHANGES, change=_DONE[action])
    logger.info("rollout.steered", action=action, share=after.share, before=before, by=by, why=why)
    return after


_DONE = {"set": "set", "pause": "paused", "resume": "resumed", "kill": "killed"}
