"""The subscriber of work commands: decode, call the handler."""

import msgspec
from bus.api import Delivery, Outcome, Poison, Subscriber
from contracts.commands import ExecuteRun
from contracts.ids import MESSAGE, RUN, THREAD, check_id
from contracts.times import parse_rfc3339

from inference.handlers.execute_run import RunExecutor

_decoder = msgspec.json.Decoder(ExecuteRun)


def commands_subscriber(executor: RunExecutor) -> Subscriber:
    """Handles deliveries of contracts.topology.EXECUTE. What cannot be read is poison."""

    async def on_command(delivery: Delivery) -> Outcome:
        try:
            command = _decoder.decode(delivery.data)
            check_id(RUN, command.run_id)
            check_id(THREAD, command.thread_id)
            check_id(MESSAGE, command.message_id)
            check_deadline(command.deadline_at)
        except ValueError as error:  # what msgspec raises is one as well
            return Poison(f"not a command to execute a run: {error}")
        return await executor.execute(command, delivery)

    return on_command


def check_deadline(text: str) -> None:
    """Raises ValueError for what is no time, or one without a time zone."""
    if parse_rfc3339(text).tzinfo is None:
        raise ValueError(f"the deadline {text!r} has no time zone")
