"""What a repeated request made the first time: looked up, and remembered, in the transaction that makes it."""

from dataclasses import dataclass
from datetime import datetime

from contracts.ids import THREAD

from conversation.domain.acceptance import Remembered
from conversation.domain.entities import Thread
from conversation.domain.limits import Limits, check_key
from conversation.domain.refusals import not_found
from conversation.domain.repetition import body_hash_of, check_same
from conversation.domain.schedules import Schedule, unknown_schedule
from conversation.ports import Writes


@dataclass(frozen=True, slots=True)
class Request:
    """A user's request to make something; an empty key was never used before, and is not remembered."""

    user_id: str
    key: str
    body_hash: bytes

    async def made(self, writes: Writes) -> str:
        """The id of what it made before; empty where it did not. Raises RefusedError where the key was used for another."""
        remembered = await writes.remembered(self.user_id, self.key) if self.key else None
        return "" if remembered is None else check_same(remembered, self.body_hash)

    async def made_thread(self, writes: Writes) -> Thread | None:
        """The thread that it made before, as it is now. THREAD_NOT_FOUND where it was deleted, or the user has left it, since."""
        made = await self.made(writes)
        thread = await writes.thread(self.user_id, made) if made else None
        if made and thread is None:
            raise not_found(THREAD)
        return thread

    async def made_schedule(self, writes: Writes) -> Schedule | None:
        """The schedule that it made before, as it is now. SCHEDULE_NOT_FOUND where it was deleted since."""
        made = await self.made(writes)
        schedule = await writes.schedule(made) if made else None
        if made and schedule is None:
            raise unknown_schedule()
        return schedule

    async def remember(self, writes: Writes, thread_id: str, made: str, now: datetime) -> None:
        """Keep what it made, in the thread with which the key goes. First of all writes: two at once collide here."""
        if self.key:
            remembered = Remembered(thread_id=thread_id, body_hash=self.body_hash, made=made)
            await writes.remember(self.user_id, self.key, remembered, now)


def request_of(limits: Limits, user_id: str, key: str, call: str, *asked: object) -> Request:
    """The request of a user's `call` with what it asks for. Raises RefusedError for a key that is none."""
    return Request(user_id, check_key(key, limits), body_hash_of(call, *asked))
