"""Guard the rollout: one evaluation by the gateway that holds the lease."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog
from bus.errors import BusError
from runtime import metrics
from runtime.names import Metric

from gateway.domain.comparison import both
from gateway.domain.guard import Broken, Decision, Evidence, GuardPolicy, GuardState, decide
from gateway.domain.path_flag import DURABLE, LEGACY, share_of, with_share
from gateway.domain.problems import Refusal
from gateway.handlers.change_flag import change_flag
from gateway.ports import Flags, RolloutStore, RunResults

logger = structlog.get_logger()

GUARD: Final = "guard"
MOST_RUNS: Final = 2_000
"""Of each path, the newest: enough for any interval, and little to read."""
LONGEST_WINDOW: Final = 3600.0
_CHANGES: Final = {"advance": "advanced", "roll_back": "rolled_back"}


async def guard_rollout(
    flags: Flags, store: RolloutStore, results: RunResults, policy: GuardPolicy, *, now: datetime
) -> Decision | None:
    """Look at both paths and do what follows. None where somebody else changed something at the same time. Idempotent: who dies
    between the flag and the state is followed by one who finds the flag's share and goes on from there."""
    state, revision = await store.load()
    if state.mode == "paused":
        return None
    state, by_hand = _as_the_flag_has_it(state, flags, now)
    if by_hand:
        await store.save(state, expected=revision)
        logger.warning("rollout.paused", reason=state.reason)
        return None
    decision = decide(state, policy, await _evidence(state, store, results, policy, now), now=now.timestamp())
    after = decision.state
    try:
        if decision.action != "hold":
            await change_flag(
                flags,
                with_share(flags.state.definition, after.share),
                by=GUARD,
                why=decision.reason,
                expected=flags.state.revision,
                now=now,
                change=_CHANGES[decision.action],
            )
            broken = await store.broken()
            after = replace(after, gaps=broken.gaps, doubles=broken.doubles)
        if after != state or decision.action != "hold":
            await store.save(after, expected=revision)
    except (Refusal, BusError) as error:
        # Somebody else changed the flag or the state: what there is now is looked at next time.
        logger.warning("rollout.undecided", action=decision.action, error=str(error))
        return None
    if decision.action != "hold":
        action = _CHANGES[decision.action]
        metrics.add(Metric.ROLLOUT_CHANGES, change=action)
        level = logger.info if decision.action == "advance" else logger.critical
        level(f"rollout.{action}", share=after.share, before=state.share, reason=decision.reason, mode=after.mode)
    return decision


def _as_the_flag_has_it(state: GuardState, flags: Flags, now: datetime) -> tuple[GuardState, bool]:
    """The state with the flag's own share, and whether a person changed it, whose rollout it then is."""
    actual = share_of(flags.state.definition)
    if actual == state.share:
        return state, False
    if actual is not None and flags.state.definition.get("metadata", {}).get("changed_by") == GUARD:
        return replace(state, share=actual, since=now.timestamp()), False
    shown = "no percentage" if actual is None else f"{actual} %"
    reason = f"the flag was changed by hand, to {shown}; resume to go on from there"
    return replace(state, mode="paused", share=actual or 0, since=now.timestamp(), reason=reason), True


async def _evidence(
    state: GuardState, store: RolloutStore, results: RunResults, policy: GuardPolicy, now: datetime
) -> Evidence | None:
    begin = max(state.since, now.timestamp() - LONGEST_WINDOW)
    try:
        found = await results.list_run_results(since=datetime.fromtimestamp(begin, UTC), limit=MOST_RUNS)
        broken = await store.broken()
    except (Refusal, BusError) as error:
        logger.warning("rollout.no_figures", error=str(error))
        return None
    figures = both(found, stalled_after=policy.stalled_after)
    since = Broken(max(0, broken.gaps - state.gaps), max(0, broken.doubles - state.doubles))
    return Evidence(durable=figures[DURABLE], legacy=figures[LEGACY], broken=since)
