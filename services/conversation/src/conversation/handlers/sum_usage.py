"""What calls have used and cost."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from contracts.codes import Code
from contracts.times import parse_rfc3339

from conversation.domain.refusals import RefusedError
from conversation.domain.spending import UsageSum


class Ledger(Protocol):
    """The ledger. May raise store.errors.StoreUnavailableError."""

    async def sums(self, user_id: str, since: datetime, *, by_user: bool) -> Sequence[UsageSum]:
        """Sums of calls booked since then, of one user or of all (empty), by user or by day and model."""


async def sum_usage(ledger: Ledger, user_id: str, since: str, *, by_user: bool) -> Sequence[UsageSum]:
    """The sums, the newest day or the dearest user first."""
    try:
        moment = parse_rfc3339(since)
    except ValueError:
        raise RefusedError(Code.QUERY_INVALID, "`since` is no time of RFC 3339.") from None
    return await ledger.sums(user_id, moment, by_user=by_user)
