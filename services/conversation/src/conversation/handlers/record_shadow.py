"""Record what the log of a shadow run says: figures, and how alike its text is to the served one."""

from datetime import datetime

from contracts.run_state import RunState
from contracts.times import parse_rfc3339
from runtime import metrics
from runtime.names import Metric

from conversation.domain.shadows import LOG_KEPT, similarity
from conversation.ports import Parts


async def record_shadow(parts: Parts, state: RunState) -> None:
    """Idempotent, and right in any order, as record_snapshot is. Nobody is told."""
    if not state.is_terminal:
        if state.status != "pending":
            await parts.records.shadows.count_checkpoint(state)
        return
    shadow = await parts.records.shadows.find(state.run_id)
    if shadow is None:
        return
    served = await parts.records.message(shadow.served_message_id)
    ended_at = parts.now() if state.ended_at is None else parse_rfc3339(state.ended_at)
    ended = await parts.records.shadows.end(
        state,
        ended_at,
        similarity=0.0 if served is None else similarity(served.content, state.content),
        equal=served is not None and served.content == state.content,
        clear_at=parts.now() + LOG_KEPT,
    )
    if ended:
        metrics.add(Metric.SHADOWS, status=state.status)
        metrics.add(Metric.SHADOW_COST, state.cost_microusd or 0)


async def clear_shadows(parts: Parts, now: datetime) -> int:
    """Delete the logs of shadows that are over, or were never begun; returns how many. Idempotent."""
    due = await parts.records.shadows.to_clear(now)
    for shadow in due:
        await parts.broker.forget_log(shadow.thread_id)
        await parts.records.shadows.cleared(shadow.id)
    return len(due)
