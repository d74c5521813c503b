"""What a worker hears of the others: their claims, their deaths, their questions."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
import structlog
from bus.api import Bus, Entry
from bus.claims import holder_of
from bus.errors import BusError
from contracts.subjects import ALL_CLAIMS, LIVE_CLAIMS, adopt_subject, token_at

from inference.domain.adoption import AdoptAnswer
from inference.domain.peers import PeerClaim, PeerClaims
from inference.handlers.free_dead_runs import free_dead_runs
from inference.handlers.hear_claim import hear_claim
from inference.handlers.running import RunningRuns

logger = structlog.get_logger()

ALIVE_SECONDS: Final = 1.0
Decode = Callable[[bytes], tuple[str, str, int]]
Encode = Callable[[AdoptAnswer], bytes]


@asynccontextmanager
async def hearing_peers(
    bus: Bus, running: RunningRuns, claims: PeerClaims, *, decode: Decode, encode: Encode
) -> AsyncIterator[None]:
    """While inside: claims are remembered in `claims`, dead workers' deliveries given back, questions answered.

    `decode` reads a question as (run id, reply subject, stream sequence), `encode` writes an answer.
    """

    def heard(entry: Entry) -> None:
        _hear(bus, claims, running, entry)

    async def lost(worker: str) -> None:
        await free_dead_runs(claims, worker, bus.nak, told_at=time.monotonic())

    async def doubted(worker: str) -> None:
        await free_dead_runs(claims, worker, bus.nak, told_at=None)

    async def answer(data: bytes) -> bytes:
        try:
            run_id, reply, stream_sequence = decode(data)
        except msgspec.DecodeError:
            return encode("no")
        run = running.find(run_id)
        return encode(run.adopt(reply, stream_sequence) if run is not None else "no")

    await bus.serve(adopt_subject(bus.name), answer)
    async with bus.watch_live(LIVE_CLAIMS, heard):
        await bus.on_disconnect(lost, doubtful=doubted)
        past = asyncio.create_task(_catch_up(bus, claims, heard, lost))
        try:
            yield
        finally:
            past.cancel()
            await asyncio.gather(past, return_exceptions=True)


def _hear(bus: Bus, claims: PeerClaims, running: RunningRuns, entry: Entry) -> None:
    try:
        holder = holder_of(entry)
    except msgspec.DecodeError:
        logger.warning("claim.unreadable", subject=entry.subject, stream_sequence=entry.stream_sequence)
        return
    claim = PeerClaim(
        thread_id=token_at(entry.subject, 1),
        run_id=token_at(entry.subject, 2),
        worker=holder.worker,
        fence=holder.fence,
        delivery=holder.delivery,
    )
    hear_claim(claims, running, claim, released=holder.released, worker=bus.name)


async def _catch_up(
    bus: Bus, claims: PeerClaims, heard: Callable[[Entry], None], lost: Callable[[str], Awaitable[None]]
) -> None:
    """The claims stored before this worker listened, and the deaths it could not hear of: a worker that restarts alone would
    otherwise wait for its own old deliveries. Best effort: what is missed is redelivered after ack_wait."""
    try:
        async for entry in bus.run_log.read(ALL_CLAIMS):
            heard(entry)
        for worker in claims.workers() - {bus.name}:
            # Whatever it answers, it lives. A false alarm is harmless: whoever takes a run asks its holder first.
            if await bus.request(adopt_subject(worker), b"", timeout=ALIVE_SECONDS) is None:
                await lost(worker)
    except BusError as error:
        logger.warning("claims.unread", error=str(error))
