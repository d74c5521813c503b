"""What an application tells the model for one answer, as a text whose pieces cannot be taken for anything else."""

import re
from collections.abc import Sequence
from typing import Final

_INTRODUCTION: Final = "The application that the user is in gives this context for its next answer, each piece between two lines of {fence}."
_LEAST: Final = 3


def context_text(pieces: Sequence[tuple[str, str]]) -> str:
    """The pieces, (description, value) each, between fences that are longer than any row of backticks in them. Empty for
    nothing."""
    said = [(" ".join(description.split()), value) for description, value in pieces]
    said = [(description, value) for description, value in said if description or value.strip()]
    if not said:
        return ""
    rows = (row for piece in said for text in piece for row in re.findall("`+", text))
    fence = "`" * max(_LEAST, max(map(len, rows), default=0) + 1)
    written = [_INTRODUCTION.format(fence=fence)]
    written += [f"{description or 'Without a description'}:\n{fence}\n{value}\n{fence}" for description, value in said]
    return "\n\n".join(written)
