"""Send a dead letter again."""

from typing import Final

from contracts.codes import Code
from contracts.topology import ADVISORIES, RUNS

from conversation.domain.refusals import RefusedError
from conversation.operations_ports import OperationsParts

NOT_REPEATED: Final = frozenset({RUNS.name, ADVISORIES.name})
"""What only a run's holder and the broker itself write."""


async def retry_dead_letter(parts: OperationsParts, id: int) -> None:
    """It is where it came from, for all who hear that, and no dead letter any more. Raises RefusedError."""
    letter = await parts.letters.find(id) if id > 0 else None
    if letter is None:
        raise RefusedError(Code.NOT_FOUND, "There is no such dead letter.")
    if letter.stream in NOT_REPEATED:
        raise RefusedError(
            Code.DEAD_LETTER_NOT_REPEATABLE,
            "Entries of the run log and of the broker are not written again. Repair what refused it; a run's next snapshot"
            " or its revival brings the record up to date.",
        )
    if not await parts.letters.retry(id):
        raise RefusedError(Code.NOT_FOUND, "There is no such dead letter any more.")
