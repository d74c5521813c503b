"""How full the streams are, and how far their consumers."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bus.looking import ConsumerLevel, StreamLevel
from contracts.topology import CONSUMERS, STREAMS, Consumer, Stream

from gateway.console_ports import Levels


@dataclass(frozen=True, slots=True)
class SeenStream:
    """A stream that is there, with its consumers that are."""

    stream: Stream
    level: StreamLevel
    consumers: Sequence[tuple[Consumer, ConsumerLevel]]


async def see_streams(levels: Levels) -> list[SeenStream]:
    """Those of the topology, in its order. Raises UnavailableError."""
    streams, consumers = await asyncio.gather(
        asyncio.gather(*(levels.stream_level(stream) for stream in STREAMS)),
        asyncio.gather(*(levels.consumer_level(consumer) for consumer in CONSUMERS)),
    )
    return [
        SeenStream(
            stream,
            level,
            [
                (consumer, found)
                for consumer, found in zip(CONSUMERS, consumers, strict=True)
                if found is not None and consumer.stream == stream.name
            ],
        )
        for stream, level in zip(STREAMS, streams, strict=True)
        if level is not None
    ]
