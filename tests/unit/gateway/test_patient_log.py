"""Whoever asks the log for a person is answered though the broker is not there, and knows what became of a command."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import pytest
from bus.api import RunLog
from bus.errors import UnavailableError
from bus.memory import MemoryBus
from contracts import ids
from contracts.ids import new_id
from contracts.subjects import run_subject
from gateway.adapters.patient_log import PatientLog
from gateway.ports import NotSentError

THREAD, RUN = new_id(ids.THREAD), new_id(ids.RUN)
COMMANDS = run_subject(THREAD, RUN, "command")


class Stopped:
    """A broker that takes everything and says nothing."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    async def last(self, *_: str) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError("it is never set")

    holder = last

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[NoReturn]:
        yield await self.last()

    async def append_command(self, thread_id: str, run_id: str, data: bytes, **_: Any) -> NoReturn:
        self.commands.append(data)
        await self.last()


def over(log: Any, *connected: bool) -> PatientLog:
    """A log whose connection is as said, one look after the other; the last for ever."""
    said = list(connected or [True])
    return PatientLog(log, lambda: said.pop(0) if len(said) > 1 else said[0], answer=0.05, command=0.2)


async def append(log: PatientLog, data: bytes) -> int:
    return await log.append_command(THREAD, RUN, data, message_id="cancel")


async def texts(log: PatientLog | RunLog) -> list[bytes]:
    return [entry.data async for entry in log.read(COMMANDS)]


async def test_a_question_that_is_not_answered_ends() -> None:
    log = over(Stopped())
    with pytest.raises(UnavailableError):
        await log.last(COMMANDS)
    with pytest.raises(UnavailableError):
        await log.holder(THREAD, RUN)
    with pytest.raises(UnavailableError):
        await texts(log)


async def test_a_command_that_was_never_sent_is_told_from_one_that_was_not_confirmed() -> None:
    stopped = Stopped()
    with pytest.raises(NotSentError):
        await append(over(stopped, False), b"1")
    assert stopped.commands == []
    with pytest.raises(UnavailableError) as unconfirmed:
        await append(over(stopped), b"2")
    assert not isinstance(unconfirmed.value, NotSentError)
    assert stopped.commands == [b"2"], "once: the bus itself repeats it"


async def test_a_short_absence_is_ridden_out_and_all_is_read_as_it_is() -> None:
    bus = MemoryBus("gateway-1")
    for data in (b"1", b"2", b"3"):
        await bus.run_log.append_command(THREAD, RUN, data, message_id=data.decode())
    await append(over(bus.run_log, False, False, True), b"4")
    log = over(bus.run_log)
    assert await texts(log) == await texts(bus.run_log) == [b"1", b"2", b"3", b"4"]
    assert [entry.data async for entry in log.read(run_subject(THREAD, new_id(ids.RUN), "command"))] == []
    last = await log.last(COMMANDS)
    assert last is not None
    assert last.data == b"4"
    await bus.drain()
