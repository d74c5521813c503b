"""Stop many runs, of whomever."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bus.errors import BusError
from contracts.codes import Code
from contracts.ids import RUN, InvalidIdError, check_id

from gateway.console_ports import Operations
from gateway.domain.problems import Refusal
from gateway.handlers.cancel_run import cancel_run
from gateway.ports import LogReader

AT_ONCE: Final = 10


async def stop_runs(
    operations: Operations, log: LogReader, by: str, run_ids: Sequence[str], *, now: datetime
) -> tuple[list[str], dict[str, Code]]:
    """Those whose end is durably asked for in the name of `by`, and why the others are not. What is refused does not keep the
    others from being stopped, and repeating is safe."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def stop(run_id: str) -> Code | None:
        async with slots:
            try:
                await cancel_run(operations, log, by, check_id(RUN, run_id), now=now)
            except InvalidIdError:
                return Code.RUN_NOT_FOUND
            except Refusal as refusal:
                return refusal.code
            except (BusError, TimeoutError):
                return Code.UNAVAILABLE
        return None

    wanted = list(dict.fromkeys(run_ids))
    refusals = await asyncio.gather(*(stop(run_id) for run_id in wanted))
    outcome = list(zip(wanted, refusals, strict=True))
    return [run_id for run_id, code in outcome if code is None], {
        run_id: code for run_id, code in outcome if code is not None
    }
