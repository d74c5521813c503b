"""Follow an event stream to its end over any number of connections: nothing missing, nothing twice, nothing out of order."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from typing import Final, Protocol, TypeVar

import msgspec
from contracts.cursor import parse_cursor
from contracts.events import TERMINAL_TYPES, RunEvent, decode_event, event_head
from contracts.facts import FeedEntry

from everthread_client.backoff import Backoff
from everthread_client.errors import BrokenStreamError, UnreachableError
from everthread_client.sse import SseError, SseEvent, SseParser
from everthread_client.transport import AttemptError, Transport

_LAST_IDS: Final = 512
_GAPS_IN_A_ROW: Final = 5

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class GapError(Exception):
    """An event is missing before this one; reconnecting from the last good cursor gets it. Never leaves this package."""


class Sequel(Protocol[T_co]):
    """Decides what an arriving event is to a viewer who has seen everything up to now."""

    def finished(self) -> bool:
        """Nothing comes any more."""

    def next(self, event: SseEvent) -> T_co | None:
        """The event to give out, or None where it was given out before or is not for us. Raises GapError."""


async def follow(
    transport: Transport,
    path: str,
    cursor: str | None,
    sequel: Sequel[T],
    *,
    patience: float,
    connection: Callable[[str], None] | None = None,
) -> AsyncGenerator[tuple[str, T], None]:
    """Yield `(cursor, item)` until the sequel is finished; reconnect as often as it takes. `connection` is told of each
    loss in words, and "" once the stream stands again.

    Raises UnreachableError after `patience` seconds in a row without a living connection, BrokenStreamError, ProblemError.
    """
    backoff = Backoff(transport.jitter)
    gaps, alive_at = 0, transport.clock()
    while not sequel.finished():
        try:
            async with transport.stream(path, {} if cursor is None else {"last-event-id": cursor}) as chunks:
                if chunks is None:
                    return
                parser = SseParser()
                if connection is not None:
                    connection("")
                async for chunk in chunks:
                    alive_at = transport.clock()
                    for event in parser.feed(chunk):
                        item = sequel.next(event)
                        cursor = event.id or cursor
                        if item is not None:
                            gaps = 0
                            yield cursor or "", item
                    backoff.succeeded()
                    backoff.base = backoff.base if parser.retry is None else max(parser.retry, 0.01)
                    if sequel.finished():
                        return
            problem, retry_after = "the stream ended before its last event", 0.0
        except AttemptError as error:
            problem, retry_after = str(error), error.retry_after
        except SseError as error:
            problem, retry_after = str(error), 0.0
        except GapError as error:
            problem, retry_after, gaps = str(error), 0.0, gaps + 1
            if gaps >= _GAPS_IN_A_ROW:
                raise BrokenStreamError(f"{path}: {error}, {gaps} connections in a row") from error
        if connection is not None:
            connection(problem)
        wait = backoff.next(retry_after)
        if transport.clock() - alive_at + wait > patience:
            raise UnreachableError(f"{path}: {problem}")
        transport.turn()
        await transport.sleep(wait)


class RunSequel:
    """The events of one run, by their gapless `sequence`."""

    def __init__(self, cursor: str | None) -> None:
        self._last = 0 if cursor is None else parse_cursor(cursor).sequence
        self._ended = False

    def finished(self) -> bool:
        """The terminal event came."""
        return self._ended

    def next(self, event: SseEvent) -> RunEvent | None:
        """The event if it is the next one. A type that this version does not know is counted and left out."""
        try:
            kind, sequence, _ = event_head(event.data)
        except msgspec.DecodeError:
            return None
        if sequence <= self._last:
            return None
        if sequence > self._last + 1:
            raise GapError(f"event {sequence} came after {self._last}")
        self._last = sequence
        self._ended = kind in TERMINAL_TYPES
        try:
            return decode_event(event.data)
        except msgspec.ValidationError:
            return None


class FeedSequel:
    """The entries of a feed, which has no numbers: a repeated one is known by its id. Never finished."""

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()

    def finished(self) -> bool:
        """A feed has no end."""
        return False

    def next(self, event: SseEvent) -> FeedEntry | None:
        """The entry unless it was given out lately."""
        try:
            entry = msgspec.json.decode(event.data, type=FeedEntry)
        except msgspec.DecodeError:
            return None
        if entry.id in self._ids:
            return None
        self._ids[entry.id] = None
        if len(self._ids) > _LAST_IDS:
            self._ids.popitem(last=False)
        return entry
