"""The subscriber of work commands: decode, call the handler."""

import msgspec
from bus.api import Delivery, Outcome, Poison, Subscriber
from contracts.commands import ExecuteRun

from inference.handlers.execute_run import RunExecutor

_decoder = msgspec.json.Decoder(ExecuteRun)


def commands_subscriber(executor: RunExecutor) -> Subscriber:
    """Handles deliveries of contracts.topology.EXECUTE. What cannot be read is poison."""

    async def on_command(delivery: Delivery) -> Outcome:
        try:
            command = _decoder.decode(delivery.data)
        except msgspec.DecodeError as error:
            return Poison(f"not a command to execute a run: {error}")
        return await executor.execute(command, delivery)

    return on_command
