"""Keep how far a document was read. For inference."""

from typing import Final, get_args

from contracts.codes import Code

from conversation.domain.library import DocumentState, known_document
from conversation.domain.refusals import RefusedError
from conversation.library_ports import LibraryParts

_STATES: Final[dict[str, DocumentState]] = {state: state for state in get_args(DocumentState)}


async def record_document(
    parts: LibraryParts, document_id: str, state: str, *, done: int, total: int, error: str
) -> None:
    """Idempotent; what has ended stays as it ended."""
    known = _STATES.get(state)
    if known is None:
        raise RefusedError(Code.BODY_INVALID, f"{state[:40]!r} is no state of a document.")
    await parts.library.record(known_document(document_id), known, done=done, total=total, error=error[:1000])
