"""Cutting a tool's output to what the model may see, and saying so."""

import json
from typing import Any


def cut_output(value: Any, limit: int) -> tuple[Any, bool]:
    """`value`, and whether it was cut to `limit` bytes. What is cut becomes text that ends with a note of how much is shown.

    A text is cut between characters. Anything else is cut as its JSON, since half an object is none.
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return value, False
    note = f"\n[Cut here: the output has {len(encoded)} bytes, the first {{shown}} are shown.]"
    room = max(0, limit - len(note.encode()) - len(str(len(encoded))))
    shown = encoded[:room].decode("utf-8", "ignore")
    return shown + note.format(shown=len(shown.encode())), True


def as_text(value: Any) -> str:
    """A tool's output as the text of the `tool` message that the model gets."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
