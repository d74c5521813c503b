"""How much of anything a request may hold, and the checks that say so. Lengths are characters unless they say otherwise."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from contracts.client_tools import MOST_BYTES, decode_tools
from contracts.codes import Code
from contracts.parts import Part, ToolCallPart

from conversation.domain.refusals import RefusedError

_AGENT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Sized(Protocol):
    """Something with a text."""

    @property
    def content(self) -> str:
        """The text."""

    @property
    def parts(self) -> Sequence[Part]:
        """What else it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Every limit of a request."""

    message_characters: int = 200_000
    title_characters: int = 200
    label_characters: int = 100
    tags: int = 20
    tag_characters: int = 50
    prompt_characters: int = 20_000
    client_characters: int = 4_000
    key_characters: int = 200
    page: int = 50
    page_most: int = 200


def check_content(content: str, limits: Limits) -> str:
    """A message's text, as it was written; refused when it is blank or too long."""
    if not content.strip():
        raise RefusedError(Code.MESSAGE_EMPTY, "The message is empty. Write something.")
    if len(content) > limits.message_characters:
        raise RefusedError(
            Code.MESSAGE_TOO_LONG,
            f"The message has {len(content):,} characters; at most {limits.message_characters:,} are accepted. Shorten it.",
        )
    return content


def check_client(client: str, limits: Limits) -> None:
    """What a client's protocol keeps with a run."""
    if len(client) > limits.client_characters:
        raise RefusedError(
            Code.BODY_INVALID, f"What is kept with the run is longer than {limits.client_characters:,} characters."
        )


def check_history(history: Iterable[Sized], limits: Limits) -> None:
    """The messages that a client brought along; together they may be as long as ten messages."""
    total = sum(len(earlier.content) + _characters(earlier.parts) for earlier in history)
    if total > 10 * limits.message_characters:
        raise RefusedError(
            Code.MESSAGE_TOO_LONG,
            f"The history has {total:,} characters; at most {10 * limits.message_characters:,} are accepted.",
        )


def check_results(results: Sequence[ToolCallPart], limits: Limits) -> None:
    """The results that a client brought of calls that were left to it."""
    names = [result.tool_call_id for result in results]
    if not all(names) or len(set(names)) < len(names) or any(r.state not in ("completed", "error") for r in results):
        raise RefusedError(Code.BODY_INVALID, "Each result is the end of one tool call, named by its id.")
    if _characters(results) > 10 * limits.message_characters:
        raise RefusedError(
            Code.MESSAGE_TOO_LONG, f"The results are longer than {10 * limits.message_characters:,} characters."
        )


def check_context(context: str, limits: Limits) -> None:
    """What the model shall know for one run; it may be as long as a message."""
    if len(context) > limits.message_characters:
        raise RefusedError(
            Code.MESSAGE_TOO_LONG,
            f"The context has {len(context):,} characters; at most {limits.message_characters:,} are accepted. Shorten it.",
        )


def check_client_tools(tools: str) -> None:
    """The tools that a client brings, as JSON; empty means none. Whoever took them from the client has looked at each."""
    try:
        decode_tools(tools)
    except msgspec.MsgspecError as error:
        raise RefusedError(Code.BODY_INVALID, f"These are no tools of a client: {error}") from error
    if len(tools.encode()) > 2 * MOST_BYTES:
        raise RefusedError(Code.BODY_INVALID, f"The client's tools are larger than {MOST_BYTES // 1024} KiB.")


def check_title(title: str, limits: Limits) -> str:
    """A title on one line, without blanks around it."""
    title = " ".join(title.split())
    if len(title) > limits.title_characters:
        raise RefusedError(Code.BODY_INVALID, f"The title is longer than {limits.title_characters} characters.")
    return title


def check_label(label: str, limits: Limits) -> str:
    """A branch's label on one line; empty means none."""
    label = " ".join(label.split())
    if len(label) > limits.label_characters:
        raise RefusedError(Code.BODY_INVALID, f"The label is longer than {limits.label_characters} characters.")
    return label


def check_agent(agent: str) -> str:
    """An agent's name; empty means none. Which agents there are, the workers know."""
    if agent and _AGENT.fullmatch(agent) is None:
        raise RefusedError(
            Code.AGENT_UNKNOWN, f"There is no agent {agent[:40]!r}: a name has letters, digits, - and _."
        )
    return agent


def check_tags(tags: Iterable[str], limits: Limits) -> tuple[str, ...]:
    """Tags without blanks around them, each once, in the order given."""
    found = tuple(dict.fromkeys(tag.strip() for tag in tags))
    if len(found) > limits.tags:
        raise RefusedError(Code.BODY_INVALID, f"A thread may have at most {limits.tags} tags.")
    if any(not tag or len(tag) > limits.tag_characters for tag in found):
        raise RefusedError(Code.BODY_INVALID, f"A tag has 1 to {limits.tag_characters} characters.")
    return found


def check_prompt(prompt: str, limits: Limits) -> str:
    """A system prompt; a blank one is none."""
    if len(prompt) > limits.prompt_characters:
        raise RefusedError(
            Code.BODY_INVALID, f"The system prompt is longer than {limits.prompt_characters:,} characters."
        )
    return prompt if prompt.strip() else ""


def check_key(key: str, limits: Limits) -> str:
    """An idempotency key; empty means none."""
    if len(key) > limits.key_characters or not key.isprintable():
        raise RefusedError(
            Code.IDEMPOTENCY_KEY_INVALID,
            f"An idempotency key has at most {limits.key_characters} printable characters.",
        )
    return key


def page_size(limit: int, limits: Limits) -> int:
    """How many items a page has: what was asked for within bounds, the default where nothing was."""
    return min(limit, limits.page_most) if limit > 0 else limits.page


def _characters(parts: Sequence[Part]) -> int:
    """How many characters they have as JSON."""
    return len(msgspec.json.encode(parts).decode()) if parts else 0
