"""List the runs of all users."""

from collections.abc import Sequence
from typing import Final, get_args

from contracts.codes import Code
from contracts.ids import USER, InvalidIdError, check_id

from conversation.domain.entities import Run, Status
from conversation.domain.operations import RunQuery
from conversation.domain.pages import read_run_key, write_run_key
from conversation.domain.refusals import RefusedError
from conversation.operations_ports import OperationsParts

STATUSES: Final = frozenset(get_args(Status))
PAGE: Final = 50
PAGE_MOST: Final = 200


async def list_all_runs(
    parts: OperationsParts, query: RunQuery, *, cursor: str, limit: int
) -> tuple[Sequence[Run], str]:
    """One page and the next one's cursor, empty on the last. Raises RefusedError."""
    if query.status and query.status not in STATUSES:
        raise RefusedError(Code.QUERY_INVALID, f"`status` is one of {', '.join(sorted(STATUSES))}.")
    if query.user_id:
        try:
            check_id(USER, query.user_id)
        except InvalidIdError:
            raise RefusedError(Code.QUERY_INVALID, "`user` is no user's id.") from None
    size = min(limit, PAGE_MOST) if limit > 0 else PAGE
    runs, last = await parts.runs.page(query, after=read_run_key(cursor), limit=size)
    return runs, write_run_key(last) if last else ""
