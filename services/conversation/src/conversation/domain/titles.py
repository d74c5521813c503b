"""A thread that nobody named is named after its first message."""

from typing import Final

LENGTH: Final = 60


def title_from(content: str) -> str:
    """The first words, at most 60 characters, with an ellipsis where something was left out."""
    words = " ".join(content[: LENGTH * 20].split())
    if len(words) <= LENGTH and len(content) <= LENGTH * 20:
        return words
    cut = words[: LENGTH - 1]
    # A cut in mid-word goes back to the word's start, unless that would throw away most of the title.
    if words[LENGTH - 1 : LENGTH].strip() and " " in cut[LENGTH // 2 :]:
        cut = cut.rpartition(" ")[0]
    return cut.rstrip(" ,;:.-") + "…"
