"""Who runs, and what nobody takes."""

import asyncio
from collections.abc import Sequence

from contracts.processes import Heartbeat
from contracts.topology import CONSUMERS

from gateway.console_ports import Console
from gateway.domain.console import warnings_of


async def see_processes(console: Console) -> tuple[Sequence[Heartbeat], list[str]]:
    """The processes, and a sentence for each kind that is missing. Raises UnavailableError."""
    processes, levels = await asyncio.gather(
        console.processes.all(),
        asyncio.gather(*(console.levels.consumer_level(consumer) for consumer in CONSUMERS)),
    )
    pending = {
        consumer.name: level.pending for consumer, level in zip(CONSUMERS, levels, strict=True) if level is not None
    }
    return processes, warnings_of(processes, pending)
