"""Timers, as they fire."""

import structlog
from bus.api import Delivery, Done, Outcome, Poison, RetryLater
from bus.errors import BusError
from contracts.ids import RUN, SCHEDULE, InvalidIdError, check_id
from contracts.subjects import token_at
from store.errors import StoreUnavailableError

from conversation.handlers.run_schedule import run_schedule
from conversation.handlers.start_run import start_run
from conversation.handlers.wake_run import wake_run
from conversation.ports import Parts

logger = structlog.get_logger()
RETRY_SECONDS = 3.0


class DueSubscriber:
    """Carries out each delivery on contracts.topology.DUE: a run that waited or was for later, the next of a schedule."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, delivery: Delivery) -> Outcome:
        kind, timer_id = token_at(delivery.subject, 2), token_at(delivery.subject, 3)
        try:
            if kind == "run":
                await self._run(check_id(RUN, timer_id), delivery.stream_sequence)
            elif kind == "schedule":
                await run_schedule(self._parts, check_id(SCHEDULE, timer_id))
            else:
                return Poison(f"nothing is known of timers of the kind {kind[:40]!r}")
        except InvalidIdError as error:
            return Poison(str(error))
        except (StoreUnavailableError, BusError) as error:
            logger.warning("timer.postponed", kind=kind, id=timer_id, error=str(error))
            return RetryLater(RETRY_SECONDS)
        return Done()

    async def _run(self, run_id: str, stream_sequence: int) -> None:
        if not await start_run(self._parts, run_id, due=True):
            await wake_run(self._parts, run_id, occasion=f"due:{stream_sequence}", stops=False)
