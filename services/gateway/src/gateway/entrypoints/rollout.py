"""The rollout for administrators: both paths side by side, and what can be done."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from contracts.audit import RolloutChanged
from contracts.codes import Code
from contracts.ids import USER, InvalidIdError, check_id
from contracts.times import rfc3339
from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.comparison import Interval, PathFigures, both, difference, over_time, quantile
from gateway.domain.guard import GuardState
from gateway.domain.path_flag import DURABLE, LEGACY, PATHS, PathContext, shadow_share_of, share_of
from gateway.domain.problems import Refusal
from gateway.domain.shadowing import ShadowFigures, ShadowPair, Side, shadow_figures
from gateway.entrypoints.admin import Admin
from gateway.entrypoints.wiring import Rollout, Wiring, wiring_of
from gateway.handlers.guard_rollout import MOST_RUNS
from gateway.handlers.steer_rollout import steer_rollout
from gateway.handlers.tell_changes import tell_soon
from gateway.ports import Flags

router = APIRouter(prefix="/v1/admin", tags=["admin"])
PIECES = 30
CHANGES = 20


class Percentiles(BaseModel):
    """Milliseconds; null where there is nothing to measure."""

    p50: int | None
    p95: int | None
    p99: int | None


class PathView(BaseModel):
    """One path over the window. `runs` were accepted, `ended` of them ended; `stalled` have said nothing for too long, `orphans`
    were given up or are overdue. `errors` counts failed runs by code. Of `departed` nobody watched the end any more, `survival`
    is the share of those that were completed all the same. Costs are in millionths of a dollar."""

    runs: int
    ended: int
    completed: int
    cancelled: int
    failed: int
    stalled: int
    orphans: int
    errors: dict[str, int]
    attempts: int
    departed: int
    survived: int
    survival: float | None
    completion_rate: float | None
    error_rate: float | None
    first_text_ms: Percentiles
    duration_ms: Percentiles
    cost_microusd: int
    cost_per_answer_microusd: float | None
    output_tokens: int
    database_operations_per_answer: float | None
    runs_over_time: list[int] = Field(description="Accepted runs in equal pieces of the window, oldest first.")
    errors_over_time: list[int]
    first_text_p95_over_time: list[int | None]
    survival_over_time: list[float | None]
    database_operations_over_time: list[float | None]


class IntervalView(BaseModel):
    """A confidence interval of 95 %."""

    model_config = ConfigDict(from_attributes=True)
    low: float
    high: float


class SideView(BaseModel):
    """One side of the pairs whose shadow has ended. Costs are in millionths of a dollar."""

    failed: int
    errors: dict[str, int]
    first_text_ms: Percentiles
    duration_ms: Percentiles
    input_tokens: int
    output_tokens: int
    cost_microusd: int
    database_operations_per_answer: float | None


class ShadowView(BaseModel):
    """What legacy_sync served and durable_event repeated unseen. Of `pairs`, `ended` have both ends, `compared` both whole
    answers, `equal` the same text; `similarity` is the mean of how alike the texts are, from 0 to 1."""

    share: int
    pairs: int
    ended: int
    compared: int
    equal: int
    similarity: float | None
    served: SideView
    shadow: SideView


class ChangeView(BaseModel):
    """A change of the rollout, by the guard or a person."""

    change: str
    by: str
    at: str
    why: str
    revision: int
    share: int | None


class BrokenView(BaseModel):
    """What viewers were ever shown out of order, or twice. Both must be 0."""

    gaps: int
    doubles: int


class RolloutView(BaseModel):
    """Where the rollout is and how both paths do. `error_difference` is durable minus legacy."""

    share: int | None
    revision: int
    mode: Literal["paused", "running", "cooling", "done"]
    since: str
    cooling_until: str | None
    last_good: int
    rollbacks: int
    reason: str
    steps: list[int]
    window_seconds: int
    paths: dict[str, PathView]
    error_difference: IntervalView | None
    completion_difference: IntervalView | None
    shadows: ShadowView
    broken_promises: BrokenView
    changes: list[ChangeView]


class Steer(BaseModel):
    """What to do; a share, in percent, goes with `set` and `shadow` only."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["set", "shadow", "pause", "resume", "kill"]
    share: int | None = Field(default=None, ge=0, le=100)


def rollout_of(wiring: Annotated[Wiring, Depends(wiring_of)]) -> tuple[Flags, Rollout]:
    """The flag and what guards it."""
    if wiring.flags is None or wiring.rollout is None:
        raise Refusal(Code.NOT_FOUND, "No rollout is kept here.")
    return wiring.flags, wiring.rollout


Behind = Annotated[tuple[Flags, Rollout], Depends(rollout_of)]
Window = Annotated[int, Query(ge=60, le=7 * 86_400, description="Runs accepted in so many seconds up to now.")]


@router.get("/rollout")
async def get_rollout(_: Admin, behind: Behind, window: Window = 3600) -> RolloutView:
    """Both paths side by side."""
    flags, rollout = behind
    state, _revision = await rollout.store.load()
    return await _view(flags, rollout, state, window)


@router.put("/rollout")
async def put_rollout(
    caller: Admin,
    behind: Behind,
    body: Steer,
    why: Annotated[str, Query(description="Why; kept with the change.")] = "",
    window: Window = 3600,
) -> RolloutView:
    """Set another share, or another share of shadows; pause or resume the guard; or kill: everybody on legacy_sync at once."""
    flags, rollout = behind
    if not why.strip():
        raise Refusal(Code.QUERY_INVALID, "Say why the rollout is changed: ?why=….")
    state = await steer_rollout(
        flags,
        rollout.store,
        body.action,
        share=body.share,
        by=caller.user_id,
        why=why.strip(),
        now=datetime.now(UTC),
        audit=rollout.audit,
    )
    await tell_soon(flags, rollout.audit)
    return await _view(flags, rollout, state, window)


async def _view(flags: Flags, rollout: Rollout, state: GuardState, window: int) -> RolloutView:
    since = datetime.now(UTC) - timedelta(seconds=window)
    results = await rollout.results.list_run_results(since=since, limit=MOST_RUNS, with_operations=True)
    pairs = await rollout.shadows.list_shadows(since=since, limit=MOST_RUNS)
    broken = await rollout.store.broken()
    figures = both(results, stalled_after=rollout.policy.stalled_after)
    ours, theirs = figures[DURABLE], figures[LEGACY]
    compared = bool(ours.judged and theirs.judged)
    return RolloutView(
        share=share_of(flags.state.definition),
        revision=flags.state.revision,
        mode=state.mode,
        since=rfc3339(datetime.fromtimestamp(state.since, UTC)),
        cooling_until=rfc3339(datetime.fromtimestamp(state.until, UTC)) if state.mode == "cooling" else None,
        last_good=state.good,
        rollbacks=state.rollbacks,
        reason=state.reason,
        steps=list(rollout.policy.steps),
        window_seconds=window,
        paths={path: _path(figures[path], over_time(results, path, window=window, pieces=PIECES)) for path in PATHS},
        error_difference=_interval(difference((ours.bad, ours.judged), (theirs.bad, theirs.judged)), compared),
        completion_difference=_interval(
            difference((ours.completed, ours.judged), (theirs.completed, theirs.judged)), compared
        ),
        shadows=_shadows(pairs, shadow_share_of(flags.state.definition)),
        broken_promises=BrokenView(gaps=broken.gaps, doubles=broken.doubles),
        changes=[_change(change) for change in await rollout.audit.newest(CHANGES)],
    )


def _change(change: RolloutChanged) -> ChangeView:
    return ChangeView(
        change=change.change, by=change.by, at=change.at, why=change.why, revision=change.revision, share=change.share
    )


def _shadows(pairs: Sequence[ShadowPair], share: int) -> ShadowView:
    figures: ShadowFigures = shadow_figures(pairs)
    return ShadowView(
        share=share,
        pairs=figures.pairs,
        ended=figures.ended,
        compared=figures.compared,
        equal=figures.equal,
        similarity=figures.similarity,
        served=_side(figures.served),
        shadow=_side(figures.shadow),
    )


def _side(side: Side) -> SideView:
    return SideView(
        failed=side.failed,
        errors=side.errors,
        first_text_ms=_percentiles(side.first_text_ms),
        duration_ms=_percentiles(side.duration_ms),
        input_tokens=side.input_tokens,
        output_tokens=side.output_tokens,
        cost_microusd=side.cost_microusd,
        database_operations_per_answer=sum(side.operations) / len(side.operations) if side.operations else None,
    )


def _interval(found: Interval, compared: bool) -> IntervalView | None:
    return IntervalView.model_validate(found) if compared else None


def _path(figures: PathFigures, pieces: list[PathFigures]) -> PathView:
    judged = figures.judged
    return PathView(
        runs=figures.runs,
        ended=figures.ended,
        completed=figures.completed,
        cancelled=figures.cancelled,
        failed=figures.failed,
        stalled=figures.stalled,
        orphans=figures.orphans,
        errors=figures.errors,
        attempts=figures.attempts,
        departed=figures.departed,
        survived=figures.survived,
        survival=figures.survival,
        completion_rate=figures.completed / judged if judged else None,
        error_rate=figures.bad / judged if judged else None,
        first_text_ms=_percentiles(figures.first_text_ms),
        duration_ms=_percentiles(figures.duration_ms),
        cost_microusd=figures.cost_microusd,
        cost_per_answer_microusd=figures.cost_microusd / figures.ended if figures.ended else None,
        output_tokens=figures.output_tokens,
        database_operations_per_answer=figures.operations_per_answer,
        runs_over_time=[piece.runs for piece in pieces],
        errors_over_time=[piece.failed for piece in pieces],
        first_text_p95_over_time=[quantile(piece.first_text_ms, 0.95) for piece in pieces],
        survival_over_time=[piece.survival for piece in pieces],
        database_operations_over_time=[piece.operations_per_answer for piece in pieces],
    )


def _percentiles(ordered: tuple[int, ...]) -> Percentiles:
    return Percentiles(p50=quantile(ordered, 0.5), p95=quantile(ordered, 0.95), p99=quantile(ordered, 0.99))


class UserPathView(BaseModel):
    """What the flag says of a user's next message. `reason` is OpenFeature's; `wish` is the path they asked for in their
    preferences, empty without one. `seen` is False of a user who has not been here yet, who has no wish; None where the flag
    does not read wishes, so that nobody looked. Test accounts are so by their token, which is not here."""

    user_id: str
    variant: str
    path: str
    reason: str
    revision: int
    wish: str
    seen: bool | None


@router.get("/rollout/users/{user_id}")
async def get_user_path(
    _: Admin, wiring: Annotated[Wiring, Depends(wiring_of)], user_id: Annotated[str, Path(max_length=64)]
) -> UserPathView:
    """Which path a user's next message would have, and what it is decided by."""
    try:
        check_id(USER, user_id)
    except InvalidIdError as error:
        raise Refusal(Code.QUERY_INVALID, f"{user_id[:40]!r} is no user's id.") from error
    if wiring.flags is None:
        raise Refusal(Code.NOT_FOUND, "This gateway has no rollout.")
    wish, seen = "", None
    if "wish" in wiring.flags.reads:
        # To look does not make a user of an id.
        user = await wiring.conversation.look_up_user(user_id)
        wish, seen = ("", False) if user is None else (user.preferences.path, True)
    decision = wiring.flags.decide(PathContext(user_id=user_id, wish=wish))
    return UserPathView(
        user_id=user_id,
        variant=decision.variant,
        path=decision.path,
        reason=decision.reason,
        revision=decision.revision,
        wish=wish,
        seen=seen,
    )
