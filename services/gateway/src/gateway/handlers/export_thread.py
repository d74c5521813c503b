"""Export a thread, piece by piece, so that a long one is never in memory as a whole."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from contracts.times import rfc3339

from gateway.domain.export import markdown_head, markdown_message
from gateway.domain.records import Message, Thread
from gateway.handlers.read_log import read_log
from gateway.handlers.read_messages import read_messages
from gateway.ports import Conversation, LogReader, Page

PAGE: Final = 100
EVENTS: Final = 1_000
FORMAT: Final = "everthread.thread/1"

Show = Callable[[Any], Any]


async def export_markdown(
    conversation: Conversation, log: LogReader, user_id: str, thread_id: str
) -> tuple[Thread, AsyncIterator[bytes]]:
    """The thread, and the document. Raises Refusal before the first piece."""
    thread, first = await _begin(conversation, log, user_id, thread_id)

    async def pieces() -> AsyncIterator[bytes]:
        yield markdown_head(thread).encode()
        async for message in _messages(conversation, log, user_id, thread_id, first):
            yield markdown_message(message).encode()

    return thread, pieces()


async def export_json(
    conversation: Conversation,
    log: LogReader,
    user_id: str,
    thread_id: str,
    *,
    now: datetime,
    show_thread: Show,
    show_message: Show,
) -> tuple[Thread, AsyncIterator[bytes]]:
    """The thread, and one JSON object: `format exported_at thread messages runs`, where each run has its events as they were
    written, or those that stand for them where the log has expired. Raises Refusal before the first piece."""
    thread, first = await _begin(conversation, log, user_id, thread_id)

    async def pieces() -> AsyncIterator[bytes]:
        head = {"format": FORMAT, "exported_at": rfc3339(now), "thread": show_thread(thread)}
        yield msgspec.json.encode(head)[:-1] + b',"messages":['
        runs: list[str] = []
        separator = b""
        async for message in _messages(conversation, log, user_id, thread_id, first):
            yield separator + msgspec.json.encode(show_message(message))
            separator = b","
            if message.role == "assistant" and message.run_id:
                runs.append(message.run_id)
        yield b'],"runs":['
        for number, run_id in enumerate(runs):
            yield (b"," if number else b"") + b'{"id":%b,"events":[' % msgspec.json.encode(run_id)
            async for piece in _events(conversation, log, user_id, run_id):
                yield piece
            yield b"]}"
        yield b"]}\n"

    return thread, pieces()


async def _begin(conversation: Conversation, log: LogReader, user_id: str, thread_id: str) -> tuple[Thread, Page]:
    thread = await conversation.get_thread(user_id, thread_id)
    return thread, await read_messages(conversation, log, user_id, thread_id, cursor="", limit=PAGE)


async def _messages(
    conversation: Conversation, log: LogReader, user_id: str, thread_id: str, page: Page
) -> AsyncIterator[Message]:
    while True:
        for message in page.messages:
            yield message
        if not page.next_cursor:
            return
        page = await read_messages(conversation, log, user_id, thread_id, cursor=page.next_cursor, limit=PAGE)


async def _events(conversation: Conversation, log: LogReader, user_id: str, run_id: str) -> AsyncIterator[bytes]:
    cursor, separator = "", b""
    while True:
        page = await read_log(conversation, log, user_id, run_id, cursor=cursor, limit=EVENTS)
        if page.events:
            yield separator + b",".join(page.events)
            separator = b","
        cursor = page.next_cursor
        if not cursor:
            return
