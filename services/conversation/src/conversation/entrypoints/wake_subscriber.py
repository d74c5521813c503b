"""Commands of runs, as they are stored in the run log."""

import msgspec
import structlog
from bus.api import Delivery, Done, Outcome, Poison, RetryLater
from bus.errors import BusError
from contracts.commands import CancelRun, RunCommand
from contracts.subjects import token_at
from store.errors import StoreUnavailableError

from conversation.handlers.wake_run import wake_run
from conversation.ports import Parts

logger = structlog.get_logger()
RETRY_SECONDS = 3.0

_decoder: msgspec.json.Decoder[RunCommand] = msgspec.json.Decoder(RunCommand)


class WakeSubscriber:
    """Calls wake_run for each delivery on contracts.topology.WAKE."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def __call__(self, delivery: Delivery) -> Outcome:
        run_id = token_at(delivery.subject, 2)
        try:
            command = _decoder.decode(delivery.data)
        except msgspec.MsgspecError as error:
            return Poison(f"not a command: {error}")
        occasion = f"wake:{delivery.stream_sequence}"
        try:
            await wake_run(self._parts, run_id, occasion=occasion, stops=isinstance(command, CancelRun))
        except (StoreUnavailableError, BusError) as error:
            logger.warning("run.wake_postponed", run_id=run_id, error=str(error))
            return RetryLater(RETRY_SECONDS)
        return Done()
