"""Presence in the key-value bucket `presence`: this gateway says who watches through it, and hears what the others say.

An entry lives for a few beats. So a killed gateway's viewers vanish by themselves, a broker that forgot everything knows it
again after one beat, and nothing has to be cleaned up.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import ceil
from typing import Final

import msgspec
import structlog
from bus.api import Entry
from bus.errors import BusError
from bus.key_values import Expiring
from contracts.presence import TYPING, Presence, decode_presence, encode_presence
from contracts.subjects import presence_subject, presence_subjects, token_at
from contracts.times import rfc3339
from contracts.topology import PRESENCE

from gateway.domain.attendance import Attendance
from gateway.domain.people import Present, presence_frame, who_is_there

logger = structlog.get_logger()

BEATS: Final = 3
"""An entry lives for so many beats."""
TYPING_SECONDS: Final = 5
GONE_SECONDS: Final = 1
AT_ONCE: Final = 64
SWEEP_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 1.0


class PresenceBucket:
    """`sharing_ports.Presences`. `seconds` is how long an entry lives unless it is said again,
    in whole ones; `place` names this gateway."""

    def __init__(self, bus: Expiring, attendance: Attendance, *, place: str, seconds: float) -> None:
        self.seconds: Final = max(1, ceil(seconds))
        self.bus: Final = bus
        self._attendance: Final = attendance
        self._place: Final = place
        self._closing = False
        self._said: set[tuple[str, str]] = set()
        self._dirty: set[tuple[str, str]] = set()
        self._wanted: Final = asyncio.Event()
        self._rooms: dict[str, _Room] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Say who is here from now on."""
        self._attendance.changed = self._note
        self._tasks = [
            asyncio.create_task(self._keep_saying(), name="presence"),
            asyncio.create_task(self._keep_sweeping(), name="presence sweep"),
        ]

    async def close(self) -> None:
        """Nobody is here any more. Says so, where the broker answers; else it is known when the entries expire."""
        self._closing = True
        for task in [*self._tasks, *(room.task for room in self._rooms.values())]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._say(sorted(self._said))

    async def read(self, thread_id: str) -> Sequence[Present]:
        """See sharing_ports.Presences."""
        found = self.bus.read_stream(PRESENCE.name, presence_subjects(thread_id))
        return who_is_there([(token_at(entry.subject, 3), _value(entry)) async for entry in found])

    async def typing(self, thread_id: str, user_id: str) -> None:
        """See sharing_ports.Presences."""
        await self._publish(thread_id, user_id, TYPING, Presence(at=_now(), typing=True), TYPING_SECONDS)

    def listen(self, thread_id: str, heard: Callable[[bytes], None]) -> "_Ear":
        """See sharing_ports.Presences."""
        room = self._rooms.get(thread_id)
        if room is None:
            room = self._rooms[thread_id] = _Room(self, thread_id)
        return _Ear(self, room, heard)

    def forget(self, room: "_Room") -> None:
        """Nobody listens there any more."""
        self._rooms.pop(room.thread_id, None)
        room.task.cancel()

    def _note(self, thread_id: str, user_id: str) -> None:
        self._dirty.add((thread_id, user_id))
        self._wanted.set()

    async def _keep_saying(self) -> None:
        every = self.seconds / BEATS
        loop = asyncio.get_running_loop()
        due = loop.time() + every
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._wanted.wait()
            self._wanted.clear()
            changed, self._dirty = self._dirty, set()
            if loop.time() >= due:
                changed |= set(self._attendance.all())
                due = loop.time() + every
            try:
                # The broker may be away for longer than anybody wants to know this.
                async with asyncio.timeout(every):
                    await self._say(sorted(changed))
            except TimeoutError:
                logger.warning("presence.unsaid", count=len(changed))

    async def _say(self, pairs: Sequence[tuple[str, str]]) -> None:
        for start in range(0, len(pairs), AT_ONCE):
            await asyncio.gather(*(self._say_one(*pair) for pair in pairs[start : start + AT_ONCE]))

    async def _say_one(self, thread_id: str, user_id: str) -> None:
        count = 0 if self._closing else self._attendance.count(thread_id, user_id)
        if not count and (thread_id, user_id) not in self._said:
            return
        life = self.seconds if count else GONE_SECONDS
        try:
            await self._publish(thread_id, user_id, self._place, Presence(at=_now(), connections=count), life)
        except BusError as error:
            logger.warning("presence.unsaid", error=str(error))
            return
        (self._said.add if count else self._said.discard)((thread_id, user_id))

    async def _publish(self, thread_id: str, user_id: str, place: str, presence: Presence, life: int) -> None:
        subject = presence_subject(thread_id, user_id, place)
        await self.bus.put(subject, encode_presence(presence), seconds=life)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for room in list(self._rooms.values()):
                room.sweep()


class _Room:
    """What is said of one thread, for those here who listen to it."""

    def __init__(self, bucket: PresenceBucket, thread_id: str) -> None:
        self.thread_id: Final = thread_id
        self.ears: dict[_Ear, None] = {}
        self.frame = b""
        self._bucket: Final = bucket
        self._entries: dict[str, tuple[int, str, Presence, float]] = {}
        self._present: list[Present] = []
        self._loop: Final = asyncio.get_running_loop()
        self.task: Final = asyncio.create_task(self._listen(), name=f"presence of {thread_id}")

    async def _listen(self) -> None:
        subjects = presence_subjects(self.thread_id)
        while True:
            try:
                async with self._bucket.bus.watch_live(subjects, self._heard):
                    async for entry in self._bucket.bus.read_stream(PRESENCE.name, subjects):
                        self._take(entry)
                    self._tell(first=not self.frame)
                    # What is missed while the broker is away is said again with the next beat.
                    await self._loop.create_future()
            except BusError as error:
                logger.warning("presence.unheard", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS)

    def sweep(self) -> None:
        """Forget what has not been said again."""
        now = self._loop.time()
        gone = [subject for subject, (_, _, _, until) in self._entries.items() if until <= now]
        for subject in gone:
            del self._entries[subject]
        if gone:
            self._tell()

    def _heard(self, entry: Entry) -> None:
        self._take(entry)
        self._tell()

    def _take(self, entry: Entry) -> None:
        subject = f"{token_at(entry.subject, 3)}.{token_at(entry.subject, 4)}"
        known = self._entries.get(subject)
        if known is not None and known[0] >= entry.stream_sequence:
            return
        value = _value(entry)
        life = TYPING_SECONDS if value.typing else self._bucket.seconds
        self._entries[subject] = (entry.stream_sequence, token_at(entry.subject, 3), value, self._loop.time() + life)

    def _tell(self, *, first: bool = False) -> None:
        present = who_is_there((user_id, value) for _, user_id, value, _ in self._entries.values())
        if present == self._present and not first:
            return
        self._present = present
        self.frame = presence_frame(self.thread_id, present)
        for ear in list(self.ears):
            ear.heard(self.frame)


class _Ear:
    """See sharing_ports.Room."""

    def __init__(self, bucket: PresenceBucket, room: _Room, heard: Callable[[bytes], None]) -> None:
        self.heard: Final = heard
        self._bucket: Final = bucket
        self._room: Final = room
        room.ears[self] = None
        if room.frame:
            heard(room.frame)

    def close(self) -> None:
        """See sharing_ports.Room."""
        self._room.ears.pop(self, None)
        if not self._room.ears:
            self._bucket.forget(self._room)


def _value(entry: Entry) -> Presence:
    try:
        return decode_presence(entry.data)
    except msgspec.MsgspecError:
        # Written by a newer gateway, or the server's own marker: it says nothing that is understood here.
        return Presence(at="")


def _now() -> str:
    return rfc3339(datetime.now(UTC))
