"""Claims fence, appends are stored once, reads give what is stored."""

import asyncio

import pytest
from bus.api import Claim
from bus.errors import ClaimLostError, ConflictError, FencedError

from contracts import ids
from contracts.subjects import run_subject, thread_events_subject

from .conftest import Run, World


async def test_five_claims_at_once_have_one_winner(world: World) -> None:
    buses = [await world.connect(f"worker-{number}") for number in range(5)]
    run = Run(buses[0])
    results = await asyncio.gather(
        *(
            bus.run_log.claim(run.thread_id, run.run_id, worker=bus.name, delivery=f"d{number}", after=None)
            for number, bus in enumerate(buses)
        ),
        return_exceptions=True,
    )
    winners = [result for result in results if isinstance(result, Claim)]
    assert len(winners) == 1
    assert sum(isinstance(result, ClaimLostError) for result in results) == 4
    holder = await run.log.holder(run.thread_id, run.run_id)
    assert holder is not None
    assert (holder.worker, holder.attempt, holder.fence) == (winners[0].worker, 1, winners[0].fence)
    assert holder.delivery == f"d{[bus.name for bus in buses].index(holder.worker)}"
    assert not holder.released
