"""How the mesh is, at a glance."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from contracts.topology import DEAD_LETTERS, EXECUTE

from gateway.console_ports import Console
from gateway.domain.console import RunCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """`commands_waiting` were given to no worker yet."""

    runs: RunCounts
    workers: int
    gateways: int
    commands_waiting: int
    dead_letters: int


async def see_overview(console: Console) -> Overview:
    """As of now. Raises Refusal, UnavailableError."""
    runs, processes, commands, letters = await asyncio.gather(
        console.operations.count_runs(),
        console.processes.all(),
        console.levels.consumer_level(EXECUTE),
        console.levels.stream_level(DEAD_LETTERS),
    )
    kinds = Counter(process.kind for process in processes)
    return Overview(
        runs=runs,
        workers=kinds["inference"],
        gateways=kinds["gateway"],
        commands_waiting=0 if commands is None else commands.pending,
        dead_letters=0 if letters is None else letters.messages,
    )
