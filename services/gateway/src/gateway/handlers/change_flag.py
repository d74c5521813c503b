"""Change the flag `path`: checked, by compare-and-set, with who and why in the definition itself."""

from datetime import datetime
from typing import Any, Final

import structlog
from bus.errors import RevisionConflictError
from contracts.codes import Code
from contracts.times import rfc3339

from gateway.domain.flag_mistakes import DefinitionError, read_definition
from gateway.domain.path_flag import FLAG, Definition, share_of
from gateway.domain.problems import Refusal
from gateway.ports import Flags

logger = structlog.get_logger()

MOST_WHY: Final = 500


async def change_flag(
    flags: Flags, definition: Definition, *, by: str, why: str, expected: int, now: datetime, change: str = "edited"
) -> int:
    """Put a definition in force; returns its revision. Who, why and what kind of change is part of the definition, so that no
    change is without them. Raises Refusal: a mistake (with its place), somebody else was first, or no reason was given.
    UnavailableError: it may be stored; look again."""
    why = why.strip()
    if not why or len(why) > MOST_WHY:
        raise Refusal(Code.QUERY_INVALID, f"Say why the flag is changed, in 1 to {MOST_WHY} characters: ?why=….")
    before = flags.state
    metadata = {name: value for name, value in definition.get("metadata", {}).items() if name not in _AUDIT}
    audited: dict[str, Any] = {
        **definition,
        "metadata": {**metadata, "changed_by": by, "changed_at": rfc3339(now), "why": why, "change": change},
    }
    try:
        revision = await flags.publish(audited, expected=expected)
    except DefinitionError as error:
        raise Refusal(
            Code.FLAG_INVALID, f"The definition is refused, the one before stays in force. {error}"
        ) from error
    except RevisionConflictError as error:
        raise Refusal(
            Code.REVISION_CONFLICT,
            f"Somebody else changed the flag: its revision is not {expected} any more. Nothing was changed; "
            "read it again and decide anew.",
        ) from error
    logger.info(
        "flag.changed",
        flag=FLAG,
        by=by,
        why=why,
        revision=revision,
        before=before.in_force,
        share=share_of(audited),
        share_before=share_of(before.definition),
    )
    return revision


_AUDIT: Final = ("changed_by", "changed_at", "why", "change")


def definition_in(body: bytes) -> Definition:
    """The definition in a request; raises Refusal with the place of each mistake."""
    try:
        return read_definition(body)
    except DefinitionError as error:
        raise Refusal(
            Code.FLAG_INVALID, f"The definition is refused, the one before stays in force. {error}"
        ) from error


def expected_revision(if_match: str | None) -> int:
    """The revision that an If-Match header names; raises Refusal."""
    if if_match is None:
        raise Refusal(
            Code.REVISION_MISSING,
            "Say which revision you are changing: send the ETag that GET gave as If-Match, so that nobody's change is lost.",
        )
    text = if_match.strip().strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Refusal(Code.REVISION_CONFLICT, f"If-Match is {if_match[:40]!r}, which is no revision.")
    return int(text)
