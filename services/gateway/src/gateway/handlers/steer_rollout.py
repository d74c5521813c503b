"""What a person does with the rollout: another share, pause, resume, kill."""

from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

import structlog
from bus.errors import RevisionConflictError
from contracts.codes import Code
from runtime import metrics
from runtime.names import Metric

from gateway.domain.guard import GuardState
from gateway.domain.path_flag import Definition, share_of, switched_off, with_shadow, with_share
from gateway.domain.problems import Refusal
from gateway.handlers.change_flag import change_flag
from gateway.handlers.tell_changes import tell_steering
from gateway.ports import Flags, RolloutStore
from gateway.rollout_ports import Audit

logger = structlog.get_logger()

Steering = Literal["set", "shadow", "pause", "resume", "kill"]


async def steer_rollout(
    flags: Flags,
    store: RolloutStore,
    action: Steering,
    *,
    share: int | None,
    by: str,
    why: str,
    now: datetime,
    audit: Audit,
) -> GuardState:
    """`set` gives that share and leaves the rollout to the person; `shadow` has durable_event repeat that share of the answers
    unseen, and changes nothing else; `pause` and `resume` stop and start the guard, which goes on from the share there is;
    `kill` puts everybody on legacy_sync. Raises Refusal: of two at once one is told."""
    if (action in ("set", "shadow")) != (share is not None):
        raise Refusal(Code.BODY_INVALID, "A share, from 0 to 100, goes with `set` and `shadow` and with nothing else.")
    state, revision = await store.load()
    there = share_of(flags.state.definition)
    before = state.share if there is None else there
    at = now.timestamp()
    if action == "set" and share is not None:
        after = replace(state, mode="paused", share=share, since=at, good=min(before, share), reason=why)
        await _change(flags, with_share(flags.state.definition, share), action, by=by, why=why, now=now)
    elif action == "shadow" and share is not None:
        try:
            definition = with_shadow(flags.state.definition, share)
        except ValueError as error:
            raise Refusal(Code.FLAG_INVALID, f"The flag was not changed: {error}.") from error
        await _change(flags, definition, action, by=by, why=why, now=now)
        metrics.add(Metric.ROLLOUT_CHANGES, change=STEERED[action])
        logger.info("rollout.steered", action=action, shadows=share, by=by, why=why)
        return state
    elif action == "kill":
        after = replace(state, mode="paused", share=0, since=at, good=0, reason=why)
        await _change(flags, switched_off(flags.state.definition), action, by=by, why=why, now=now)
    elif action == "pause":
        after = replace(state, mode="paused", share=before, reason=why)
    else:
        after = replace(state, mode="running", share=before, since=at, rollbacks=0, missing=0, reason=why)
    broken = await store.broken()
    after = replace(after, gaps=broken.gaps, doubles=broken.doubles)
    try:
        saved = await store.save(after, expected=revision)
    except RevisionConflictError as error:
        raise Refusal(
            Code.REVISION_CONFLICT,
            "Somebody else, or the guard, changed the rollout at the same time; look and try again.",
        ) from error
    if action in ("pause", "resume"):
        # The others are changes of the flag, and told as such.
        await tell_steering(audit, STEERED[action], revision=saved, by=by, why=why, now=now)
    metrics.add(Metric.ROLLOUT_CHANGES, change=STEERED[action])
    logger.info("rollout.steered", action=action, share=after.share, before=before, by=by, why=why)
    return after


async def _change(flags: Flags, definition: Definition, action: Steering, *, by: str, why: str, now: datetime) -> None:
    expected = flags.state.revision
    await change_flag(flags, definition, by=by, why=why, expected=expected, now=now, change=STEERED[action])


STEERED: Final[dict[Steering, str]] = {
    "set": "set",
    "shadow": "shadowed",
    "pause": "paused",
    "resume": "resumed",
    "kill": "killed",
}
"""What each is called once it is done."""
