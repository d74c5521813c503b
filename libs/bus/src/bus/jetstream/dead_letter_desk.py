"""What a person does with dead letters: look at them, and send one again. Needs a user who may do that: admin."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from contracts import topology
from ulid import ULID

from bus.errors import BusError
from bus.jetstream.api_calls import call_api
from bus.jetstream.connection import Connection
from bus.jetstream.direct_get import Reader
from bus.jetstream.requests import Requests
from bus.jetstream.storing import store
from bus.letters import CONSUMER, DELIVERED, REASON, SEQUENCE, STREAM, SUBJECT

LETTERS: Final = topology.DEAD_LETTERS.name
_OURS: Final = "everthread-dead-"
_BROKERS: Final = ("nats-", "status", "description")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One delivery that could not be handled. `id` is its place on DEAD_LETTERS; the rest says where it came from and why."""

    id: int
    stored_at: str
    reason: str
    stream: str
    consumer: str
    subject: str
    stream_sequence: int
    delivered: int
    data: bytes
    headers: Mapping[str, str]


class DeadLetterDesk:
    """Over one connection."""

    def __init__(self, connection: Connection, requests: Requests, reader: Reader) -> None:
        self._connection = connection
        self._requests = requests
        self._reader = reader

    async def newest(self, limit: int) -> list[DeadLetter]:
        """The newest ones, the oldest of them first. Raises UnavailableError."""
        ids: list[int] = []
        async for entries in self._reader.read(LETTERS, ">", 0):
            ids = [*ids, *(entry.stream_sequence for entry in entries)][-limit:]
        found = [await self.letter(id) for id in ids]
        return [letter for letter in found if letter is not None]

    async def letter(self, id: int) -> DeadLetter | None:
        """One letter; None where it is gone. Raises UnavailableError."""
        message = await self._reader.at(LETTERS, id)
        if message is None:
            return None
        headers = message.headers or {}
        return DeadLetter(
            id=id,
            stored_at=headers.get("Nats-Time-Stamp", ""),
            reason=headers.get(REASON, ""),
            stream=headers.get(STREAM, ""),
            consumer=headers.get(CONSUMER, ""),
            subject=headers.get(SUBJECT, ""),
            stream_sequence=int(headers.get(SEQUENCE, "0")),
            delivered=int(headers.get(DELIVERED, "0")),
            data=message.data,
            headers={name: value for name, value in headers.items() if not name.lower().startswith((_OURS, *_BROKERS))},
        )

    async def retry(self, letter: DeadLetter) -> int:
        """Publish it again where it came from, for all who hear that subject, then take it away; returns its new place. Raises
        BusError for an entry of the run log, which nobody but a run's holder writes."""
        if not letter.subject or letter.stream == topology.RUNS.name:
            raise BusError(
                f"dead letter {letter.id} is an entry of the run log, which is not written again; repair what refused it, and "
                "the run's next snapshot or its revival brings the record up to date"
            )
        headers = {**letter.headers, "Nats-Msg-Id": f"dead:{letter.id}:{ULID()}"}
        receipt = await store(self._connection, self._requests, letter.subject, letter.data, headers)
        await call_api(self._requests, f"STREAM.MSG.DELETE.{LETTERS}", {"seq": letter.id, "no_erase": True})
        return receipt.stream_sequence
