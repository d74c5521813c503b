"""What was told of an ended legacy run is its log, at a gateway that never had it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from bus.api import Entry, RunLog
from bus.memory import Broker, MemoryBus
from contracts import events as e
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.legacy_log import decode_told, encode_told
from contracts.subjects import run_subject
from contracts.usage import Usage
from gateway.adapters.legacy_sync import LegacyLog, LegacyRuns
from gateway.domain.path_flag import LEGACY
from gateway.domain.records import Message, Run

AT = "2026-11-21T03:17:47.123Z"
THREAD_ID, RUN_ID, MESSAGE_ID = new_id(THREAD), new_id(RUN), new_id(MESSAGE)
EVENT = run_subject(THREAD_ID, RUN_ID, "event")
TOLD = run_subject(THREAD_ID, RUN_ID, "legacy")


def events() -> list[bytes]:
    head = {"thread_id": THREAD_ID, "run_id": RUN_ID, "attempt": 1, "at": AT}
    made: list[e.RunEvent] = [
        e.RunStarted(**head, sequence=1, message_id=MESSAGE_ID, model="m", path=LEGACY),  # type: ignore[arg-type]  # head is of two types
        e.TextDelta(**head, sequence=2, part=0, delta="two\nlines, "),  # type: ignore[arg-type]  # likewise
        e.TextDelta(**head, sequence=3, part=0, delta="Größe 😀"),  # type: ignore[arg-type]  # likewise
        e.RunCompleted(**head, sequence=4, message_id=MESSAGE_ID, usage=Usage(), cost_microusd=0),  # type: ignore[arg-type]  # likewise
    ]
    return [e.encode_event(event) for event in made]


def run(*, final_sequence: int = 4, path: str = LEGACY) -> Run:
    return Run(
        id=RUN_ID,
        thread_id=THREAD_ID,
        message_id=MESSAGE_ID,
        model="m",
        path=path,
        status="complete",
        created_at=AT,
        ended_at=AT,
        usage=None,
        cost_microusd=None,
        error_code="",
        error_message="",
        final_sequence=final_sequence,
        attempts=1,
    )


def answer() -> Message:
    return Message(
        id=MESSAGE_ID,
        thread_id=THREAD_ID,
        role="assistant",
        status="complete",
        content="two\nlines, Größe 😀",
        parts_json=b"",
        model="m",
        usage=None,
        cost_microusd=None,
        run_id=RUN_ID,
        parent_message_id="",
        created_at=AT,
        error_code="",
        error_message="",
    )


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus("gateway-2", Broker())


@pytest.fixture
async def runs() -> AsyncIterator[LegacyRuns]:
    made = LegacyRuns("127.0.0.1:1", now=lambda: datetime.now(UTC))
    yield made
    await made.close()


async def read(log: RunLog, after: int = 0) -> list[bytes]:
    return [entry.data async for entry in log.read(EVENT, after=after)]


def test_what_was_told_is_found_again_byte_for_byte() -> None:
    assert decode_told(encode_told(events())) == events()


@pytest.mark.parametrize("strict", [True, False])
async def test_an_ended_run_is_read_and_followed_as_it_was_told(
    bus: MemoryBus, runs: LegacyRuns, *, strict: bool
) -> None:
    log = LegacyLog(bus.run_log, runs, strict=strict)
    await bus.publish(TOLD, encode_told(events()), message_id=TOLD)
    runs.note(run(), answer())
    assert await read(log) == events()
    assert await read(log, after=3) == events()[3:]
    last = await log.last(EVENT)
    assert last == Entry(EVENT, events()[-1], 4, 3)
    async with log.follow(EVENT, after=1) as batches:
        assert [entry.data for entry in await anext(batches)] == events()[1:]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(batches)
    # It is no run of this gateway's: whoever watches the thread is not shown it again.
    assert runs.of_thread(THREAD_ID) == []


@pytest.mark.parametrize("known", [run(final_sequence=3), run(final_sequence=0), run(path="durable_event"), None])
async def test_what_does_not_belong_to_the_stored_end_is_no_log(
    bus: MemoryBus, runs: LegacyRuns, known: Run | None
) -> None:
    log = LegacyLog(bus.run_log, runs, strict=True)
    await bus.publish(TOLD, encode_told(events()), message_id=TOLD)
    if known is not None:
        runs.note(known, answer())
    assert await read(log) == []
    assert await log.last(EVENT) is None


async def test_without_what_was_told_there_is_no_log(bus: MemoryBus, runs: LegacyRuns) -> None:
    log = LegacyLog(bus.run_log, runs, strict=True)
    runs.note(run(), answer())
    assert await read(log) == []
