"""Note that nobody watches a run any more, so that it can be told how many answers survive that."""

from contracts.ids import RUN
from runtime import metrics
from runtime.names import Metric

from conversation.domain.refusals import known_id
from conversation.ports import Parts


async def note_departure(parts: Parts, run_id: str) -> None:
    """Idempotent: the first departure counts. Of a run that is not there nothing is stored."""
    path = await parts.records.note_departure(known_id(RUN, run_id), parts.now())
    if path is not None:
        metrics.add(Metric.DEPARTURES, path=path)
