"""What a user has used and may spend; for administrators, what all have, and the budgets."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from bus.errors import RevisionConflictError
from contracts.budgets import BudgetLimits, day_key, next_day
from contracts.codes import Code
from contracts.ids import USER, InvalidIdError, check_id
from contracts.times import rfc3339
from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.spending import BudgetStore, Spending, UsageSum
from gateway.entrypoints.admin import administrator
from gateway.entrypoints.patience import patience
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of
from gateway.handlers.change_flag import expected_revision

router = APIRouter(prefix="/v1", tags=["usage"])

Caller = Annotated[Principal, Depends(principal_of)]
Admin = Annotated[Principal, Depends(administrator)]
Days = Annotated[int, Query(ge=1, le=366, description="How many days back, today included.")]


class UsageView(BaseModel):
    """What some calls used and cost. `cost_microusd` is that of the calls whose price is known; `unpriced_calls` are the
    others. Cached tokens are part of the input, reasoning tokens of the output. Retried calls are those of second and later
    attempts; of estimated ones the provider told no tokens: they were broken off, or it never does."""

    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_microusd: int
    unpriced_calls: int
    estimated_calls: int
    retried_calls: int
    retried_cost_microusd: int
    estimated_cost_microusd: int


class DayUsageView(UsageView):
    """The same of one model on one day (of UTC)."""

    day: str
    model: str


class UserUsageView(UsageView):
    """The same of one user."""

    user_id: str


class BudgetView(BaseModel):
    """Today's budget in micro-dollars; null: there is none. `reserved` is set aside for calls under way."""

    limit_microusd: int | None
    spent_microusd: int
    reserved_microusd: int
    resets_at: str


class MyUsageView(BaseModel):
    """The caller's use: in all, by day and model (the newest first), and today's budget."""

    total: UsageView
    items: list[DayUsageView]
    budget: BudgetView


class AllUsageView(BaseModel):
    """Everybody's use: in all, by day and model, by user (the dearest first)."""

    total: UsageView
    items: list[DayUsageView]
    users: list[UserUsageView]


class Budgets(BaseModel):
    """Micro-dollars a user may spend in a day (of UTC): for everybody, and by user id in its place; null: no limit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    default: Annotated[int | None, Field(ge=0)] = None
    users: dict[str, Annotated[int, Field(ge=0)] | None] = {}


class BudgetsView(Budgets):
    """The budgets in force. The ETag is needed to change them."""

    revision: int
    changed_by: str
    changed_at: str
    why: str


def spending_of(wiring: Annotated[Wiring, Depends(wiring_of)]) -> Spending:
    """The ledger's sums."""
    if wiring.spending is None:
        raise Refusal(Code.NOT_FOUND, "This installation does not tell its usage.")
    return wiring.spending


def budgets_of(wiring: Annotated[Wiring, Depends(wiring_of)]) -> BudgetStore:
    """The budgets."""
    if wiring.budgets is None:
        raise Refusal(Code.NOT_FOUND, "This installation has no budgets.")
    return wiring.budgets


Ledger = Annotated[Spending, Depends(spending_of)]
Limits = Annotated[BudgetStore, Depends(budgets_of)]


@router.get("/me/usage")
async def my_usage(caller: Caller, ledger: Ledger, limits: Limits, days: Days = 30) -> MyUsageView:
    """What the caller's answers used and cost, and what may be spent today."""
    now = datetime.now(UTC)
    sums = await ledger.sums(caller.user_id, _since(now, days), by_user=False)
    async with patience():
        (in_force, _), spending = await limits.limits(), await limits.day(day_key(caller.user_id, now))
    return MyUsageView(
        total=_total(sums),
        items=[_day(found) for found in sums],
        budget=BudgetView(
            limit_microusd=in_force.of(caller.user_id),
            spent_microusd=spending.spent,
            reserved_microusd=spending.taken - spending.spent,
            resets_at=rfc3339(next_day(now)),
        ),
    )


@router.get("/admin/usage", tags=["admin"])
async def all_usage(_: Admin, ledger: Ledger, days: Days = 30) -> AllUsageView:
    """What all answers used and cost."""
    since = _since(datetime.now(UTC), days)
    sums, users = await ledger.sums("", since, by_user=False), await ledger.sums("", since, by_user=True)
    items: dict[tuple[str, str], list[UsageSum]] = {}
    for found in sums:
        items.setdefault((found.day, found.model), []).append(found)
    return AllUsageView(
        total=_total(users),
        items=[DayUsageView(day=day, model=model, **_figures(found)) for (day, model), found in items.items()],
        users=[UserUsageView(user_id=found.user_id, **_figures([found])) for found in users],
    )


@router.get("/admin/budgets", tags=["admin"])
async def get_budgets(_: Admin, limits: Limits, response: Response) -> BudgetsView:
    """The budgets in force."""
    return _budgets(*await limits.limits(), response)


@router.put("/admin/budgets", tags=["admin"])
async def put_budgets(
    caller: Admin,
    limits: Limits,
    body: Budgets,
    response: Response,
    why: Annotated[str, Query(min_length=1, max_length=500, description="Why they are changed; kept with the change.")],
    if_match: Annotated[str | None, Header(description="The ETag of the budgets that are replaced.")] = None,
) -> BudgetsView:
    """Put budgets in force at every worker within a second; calls under way keep what they have set aside."""
    for user_id in body.users:
        try:
            check_id(USER, user_id)
        except InvalidIdError as error:
            raise Refusal(Code.BODY_INVALID, f"users: {user_id[:40]!r} is no user's id.") from error
    changed = BudgetLimits(
        default=body.default,
        users=body.users,
        changed_by=caller.user_id,
        changed_at=rfc3339(datetime.now(UTC)),
        why=why,
    )
    try:
        revision = await limits.change(changed, expected=expected_revision(if_match))
    except RevisionConflictError as error:
        raise Refusal(
            Code.REVISION_CONFLICT,
            "Somebody else changed the budgets. Nothing was changed; read them again and decide anew.",
        ) from error
    return _budgets(changed, revision, response)


def _budgets(limits: BudgetLimits, revision: int, response: Response) -> BudgetsView:
    response.headers["etag"] = f'"{revision}"'
    return BudgetsView(
        default=limits.default,
        users=limits.users,
        revision=revision,
        changed_by=limits.changed_by,
        changed_at=limits.changed_at,
        why=limits.why,
    )


def _since(now: datetime, days: int) -> str:
    return rfc3339(next_day(now) - timedelta(days=days))


_NAMES = tuple(UsageView.model_fields)


def _figures(sums: Sequence[UsageSum]) -> dict[str, int]:
    return {name: sum(getattr(found, name) for found in sums) for name in _NAMES}


def _total(sums: Sequence[UsageSum]) -> UsageView:
    return UsageView(**_figures(sums))


def _day(found: UsageSum) -> DayUsageView:
    return DayUsageView(day=found.day, model=found.model, **_figures([found]))
