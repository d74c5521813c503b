"""The definition of the flag `path` in a key-value bucket of the broker: watched by every gateway, changed by compare-and-set."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import structlog
from bus.api import Entry
from bus.errors import BusError, UnavailableError
from bus.key_values import KeyValues
from contracts import topology
from contracts.subjects import flag_subject

from gateway.adapters.flagd import FlagdPathFlag, check_by_evaluating
from gateway.domain.flag_mistakes import DefinitionError, Mistake, read_definition
from gateway.domain.path_flag import FLAG, Definition, PathContext, PathDecision, share_of, standard_definition
from gateway.ports import FlagState

logger = structlog.get_logger()

STREAM: Final = topology.FLAGS.name
SUBJECT: Final = flag_subject(FLAG)
FIRST_LOOK_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.5
BUILT_IN: Final = standard_definition(100)
"""In force while the bucket is empty: everybody is answered by the durable path."""


def usable(data: bytes) -> Definition:
    """The definition in a revision; raises DefinitionError, also for what only flagd's evaluator objects to."""
    definition = read_definition(data)
    try:
        check_by_evaluating(definition)
    except ValueError as error:
        raise DefinitionError([Mistake(f"/flags/{FLAG}/targeting", str(error))]) from error
    return definition


class FlagBucket:
    """`ports.Flags` and `ports.PathFlag`. Until `start` has looked, and while the broker is away, the last good definition
    it knows is in force."""

    def __init__(self, bus: KeyValues) -> None:
        self._bus: Final = bus
        self._flag: Final = FlagdPathFlag(BUILT_IN)
        self._state = FlagState(definition=BUILT_IN, revision=0, in_force=0, refused="")
        self._watching: asyncio.Task[None] | None = None

    @property
    def reads(self) -> frozenset[str]:
        """See ports.PathFlag."""
        return self._flag.reads

    def decide(self, context: PathContext) -> PathDecision:
        """See ports.PathFlag."""
        return self._flag.decide(context)

    @property
    def state(self) -> FlagState:
        """See ports.Flags."""
        return self._state

    async def start(self) -> None:
        """Look at the bucket, then watch it. A broker that does not answer delays this by a few seconds and no more."""
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._look()
        except (BusError, TimeoutError) as error:
            logger.warning("flag.unread", flag=FLAG, error=str(error))
        self._watching = asyncio.create_task(self._watch(), name="watch flags")

    async def close(self) -> None:
        """Watch no longer."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def publish(self, definition: Definition, *, expected: int) -> int:
        """See ports.Flags."""
        data = json.dumps(definition, ensure_ascii=False, indent=1).encode()
        usable(data)
        revision = await self._bus.compare_and_set(STREAM, SUBJECT, data, expected=expected)
        self._take(Entry(SUBJECT, data, revision))
        return revision

    async def history(self, limit: int, *, after: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """See ports.Flags."""
        found = [
            (entry.stream_sequence, entry.data) async for entry in self._bus.read_stream(STREAM, SUBJECT, after=after)
        ]
        return [(revision, _metadata(data) | _share(data)) for revision, data in found[: -limit - 1 : -1]]

    async def _look(self) -> None:
        last = await self._bus.last_of(STREAM, SUBJECT)
        if last is None or last.stream_sequence == self._state.revision:
            return
        self._take(last)
        if self._state.in_force == last.stream_sequence:
            return
        # Somebody wrote a broken one past the gateways: the last good one before it, then.
        good: tuple[int, Definition] | None = None
        async for entry in self._bus.read_stream(STREAM, SUBJECT):
            with contextlib.suppress(DefinitionError):
                good = entry.stream_sequence, usable(entry.data)
        if good is not None and good[0] > self._state.in_force:
            self._use(good[1], good[0])

    async def _watch(self) -> None:
        while True:
            try:
                async with self._bus.follow_stream(STREAM, SUBJECT, after=self._state.revision) as batches:
                    await self._hear(batches)
            except (UnavailableError, BusError) as error:
                logger.warning("flag.unwatched", flag=FLAG, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self, batches: AsyncIterator[Any]) -> None:
        async for batch in batches:
            for entry in batch:
                self._take(entry)

    def _take(self, entry: Entry) -> None:
        if entry.stream_sequence <= self._state.revision:
            return
        try:
            definition = usable(entry.data)
        except DefinitionError as error:
            self._state = FlagState(
                definition=self._state.definition,
                revision=entry.stream_sequence,
                in_force=self._state.in_force,
                refused=str(error),
            )
            logger.error(
                "flag.refused",
                flag=FLAG,
                revision=entry.stream_sequence,
                error=str(error),
                in_force=self._state.in_force,
            )
            return
        self._state = FlagState(
            definition=definition, revision=entry.stream_sequence, in_force=entry.stream_sequence, refused=""
        )
        self._flag.use(definition, entry.stream_sequence)
        logger.info("flag.in_force", flag=FLAG, revision=entry.stream_sequence, **_metadata(entry.data))

    def _use(self, definition: Definition, revision: int) -> None:
        state = self._state
        self._state = FlagState(
            definition=definition, revision=state.revision, in_force=revision, refused=state.refused
        )
        self._flag.use(definition, revision)


def _metadata(data: bytes) -> dict[str, Any]:
    """Who changed it, when and why; what is unreadable says nothing."""
    try:
        document = json.loads(data)
        found = document.get("metadata", {}) if isinstance(document, dict) else {}
    except ValueError:
        return {}
    return {name: found[name] for name in ("changed_by", "changed_at", "why", "change") if name in found}


def _share(data: bytes) -> dict[str, Any]:
    try:
        return {"share": share_of(read_definition(data))}
    except DefinitionError:
        return {}
