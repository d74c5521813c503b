"""Token counts for calls whose provider never told: marked `estimated`, and good to about a fifth.

One token for every four bytes of UTF-8, rounded up. English has 4 to 4.5 characters a token in current vocabularies;
Chinese (3 bytes a character, about 0.7 tokens), Cyrillic (2 bytes, about 0.45) and emoji (4 bytes, about 1) come out near
as well, which a rule by characters would miss. A message costs four tokens more for its role and separators.
"""

from collections.abc import Iterable

from contracts.usage import Usage

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


def tokens_of_bytes(count: int) -> int:
    """Tokens of a text of `count` bytes of UTF-8."""
    return -(-count // BYTES_PER_TOKEN)


def tokens_of_text(text: str) -> int:
    """Tokens of a text."""
    return tokens_of_bytes(len(text.encode("utf-8", "surrogatepass")))


def tokens_of_messages(contents: Iterable[str]) -> int:
    """Input tokens of a call with these messages."""
    return sum(TOKENS_PER_MESSAGE + tokens_of_text(content) for content in contents)


def estimated_usage(*, input_tokens: int, text_bytes: int, reasoning_bytes: int) -> Usage:
    """The usage of a call that was asked with `input_tokens` and wrote so many bytes."""
    reasoning = tokens_of_bytes(reasoning_bytes)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=tokens_of_bytes(text_bytes) + reasoning,
        reasoning_tokens=reasoning,
        estimated=True,
    )
