"""A thread as a document to keep: Markdown for people, JSON with the log for programs."""

from collections.abc import Iterable, Sequence
from typing import Final

from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart

from gateway.domain.records import Message, Thread
from gateway.domain.stored_log import parts_of

WHO: Final = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool"}
ENDS: Final = {"error": "This answer failed", "cancelled": "This answer was stopped"}


def markdown_head(thread: Thread) -> str:
    """The title and where it comes from."""
    title = " ".join(thread.title.split()) or "Untitled"
    return f"# {title}\n\nThread `{thread.id}`, begun {thread.created_at}.\n"


def markdown_message(message: Message) -> str:
    """One message under a heading of its own; its text is its author's, unchanged."""
    who = WHO.get(message.role, message.role)
    by = f" `{message.author}`" if message.author else (f" ({message.model})" if message.model else "")
    pieces = [f"\n## {who}{by}, {message.created_at}\n"]
    pieces += [f"\n{text}\n" for text in _texts(parts_of(message))]
    if message.status in ENDS:
        why = f": {message.error_message}" if message.error_message else ""
        by_whom = f" by `{message.cancelled_by}`" if message.cancelled_by else ""
        pieces.append(f"\n*{ENDS[message.status]}{by_whom}{why or '.'}*\n")
    elif message.status != "complete":
        pieces.append("\n*This answer had not ended when the thread was exported.*\n")
    return "".join(pieces)


def _texts(parts: Sequence[Part]) -> Iterable[str]:
    for part in parts:
        match part:
            case TextPart(text=text):
                yield text
            case ReasoningPart(text=text):
                yield "\n".join(f"> {line}" for line in text.splitlines())
            case ToolCallPart(name=name, state=state):
                yield f"*Called the tool `{name}`: {state}.*"
            case SourcePart(title=title, url=url):
                yield f"*Source: {title}{f' <{url}>' if url else ''}*"


def file_name(thread: Thread, extension: str) -> str:
    """A name that every file system takes and no header is broken by."""
    return f"{thread.id}.{extension}"
