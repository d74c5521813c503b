"""Dead letters over the bus."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from bus.jetstream.dead_letter_desk import DeadLetter as Letter
from bus.jetstream.dead_letter_desk import DeadLetterDesk
from contracts.times import rfc3339

from conversation.domain.operations import DeadLetter


class BusDeadLetters:
    """operations_ports.DeadLetters."""

    def __init__(self, desk: DeadLetterDesk) -> None:
        self._desk: Final = desk

    async def newest(self, limit: int) -> Sequence[DeadLetter]:
        """See operations_ports.DeadLetters."""
        return [_shown(letter) for letter in reversed(await self._desk.newest(limit))]

    async def find(self, id: int) -> DeadLetter | None:
        """See operations_ports.DeadLetters."""
        letter = await self._desk.letter(id)
        return None if letter is None else _shown(letter)

    async def retry(self, id: int) -> bool:
        """See operations_ports.DeadLetters."""
        letter = await self._desk.letter(id)
        if letter is None:
            return False
        await self._desk.retry(letter)
        return True


def _shown(letter: Letter) -> DeadLetter:
    return DeadLetter(
        id=letter.id,
        consumer=letter.consumer,
        stream=letter.stream,
        subject=letter.subject,
        reason=letter.reason,
        delivered=letter.delivered,
        at=rfc3339(datetime.fromisoformat(letter.stored_at)) if letter.stored_at else "",
    )
