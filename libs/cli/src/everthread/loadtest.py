"""`everthread loadtest`: a bounded number of messages to a given address, and what became of them."""

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import httpx2
from contracts import events as e
from everthread_client import EverthreadClient, EverthreadError, ProblemError

from everthread.errors import EXIT_INTERRUPTED, RefusedError

MOST_MESSAGES: Final = 10_000
MOST_AT_ONCE: Final = 500
MOST_SECONDS: Final = 3600


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much. `at_once`: viewers that each send, watch to the end, and send again; `seconds`: after which none begins anew
    and whoever still watches leaves (its answer goes on)."""

    messages: int
    at_once: int
    seconds: float
    text: str
    model: str | None


@dataclass
class Tally:
    """What was seen. Times in seconds."""

    begun: int = 0
    accepting: list[float] = field(default_factory=list)
    first_text: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    pieces: int = 0
    characters: int = 0
    took: float = 0.0


def check_load(load: Load) -> None:
    """Within bounds. Raises RefusedError."""
    for option, value, most in (
        ("--messages", load.messages, MOST_MESSAGES),
        ("--at-once", load.at_once, MOST_AT_ONCE),
        ("--seconds", load.seconds, MOST_SECONDS),
    ):
        if not 1 <= value <= most:
            raise RefusedError(f"{option} {value:g} is not from 1 to {most}: this command is bounded", 2)


def run_load(urls: list[str], token: Callable[[], str] | str, load: Load) -> int:
    """Send it, print what became of it; 1 when something failed. Raises RefusedError. Ctrl-C prints what there is by then."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    check_load(load)
    console = Console(stderr=True, highlight=False)
    console.print(
        f"{load.messages} messages to {', '.join(urls)}, {load.at_once} at once, for {load.seconds:g} s at most",
        soft_wrap=True,
    )
    tally = Tally()
    columns = (TextColumn("ended"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    code = 0
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=load.messages)
        begun = time.monotonic()
        try:
            asyncio.run(_send(urls, token, load, tally, lambda: progress.advance(task)))
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        tally.took = time.monotonic() - begun
    print("\n".join(table(tally)))
    unwell = sum(count for end, count in tally.ends.items() if end not in ("completed", "cancelled"))
    return code or (1 if unwell or not tally.ends else 0)


async def _send(
    urls: list[str], token: Callable[[], str] | str, load: Load, tally: Tally, ended: Callable[[], None]
) -> None:
    limits = httpx2.Limits(max_connections=2 * load.at_once + 10, max_keepalive_connections=load.at_once)
    http = httpx2.AsyncClient(timeout=httpx2.Timeout(30.0, connect=5.0), limits=limits, trust_env=False)
    deadline = time.monotonic() + load.seconds
    numbers = iter(range(load.messages))
    async with EverthreadClient(urls, token, patience=10.0, http=http) as client:
        try:
            thread = await client.create_thread(title="loadtest", model=load.model)
        except EverthreadError as error:
            raise RefusedError(f"the first request failed: {str(error).rstrip('.')}; nothing was sent") from None

        async def viewer(thread_id: str | None) -> None:
            for _ in numbers:
                if time.monotonic() >= deadline:
                    return
                tally.begun += 1
                try:
                    async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                        thread_id = thread_id or (await client.create_thread(title="loadtest", model=load.model)).id
                        tally.ends[await _one(client, thread_id, load, tally)] += 1
                except TimeoutError:
                    tally.ends["still running when the time was over"] += 1
                except ProblemError as error:
                    tally.ends[f"refused: {error.code}"] += 1
                except EverthreadError as error:
                    tally.ends[type(error).__name__] += 1
                ended()

        first = itertools.chain([thread.id], itertools.repeat(None))
        await asyncio.gather(*(viewer(next(first)) for _ in range(load.at_once)))


async def _one(client: EverthreadClient, thread_id: str, load: Load, tally: Tally) -> str:
    """Send one message and watch its answer; how it ended."""
    begun = time.monotonic()
    accepted = await client.send(thread_id, load.text, model=load.model)
    tally.accepting.append(time.monotonic() - begun)
    first = True
    async with aclosing(client.follow(accepted.run_id, accepted.cursor or None)) as events:
        async for event in events:
            match event:
                case e.TextDelta():
                    if first:
                        tally.first_text.append(time.monotonic() - begun)
                        first = False
                    tally.pieces += 1
                    tally.characters += len(event.delta)
                case e.RunCompleted():
                    tally.whole.append(time.monotonic() - begun)
                    return "completed"
                case e.RunCancelled():
                    return "cancelled"
                case e.RunFailed():
                    return f"failed: {event.code}"
                case _:
                    pass
    return "the stream ended before the answer"


def table(tally: Tally) -> list[str]:
    """Lines for a person."""
    seconds = max(tally.took, 1e-9)
    lines = [
        f"{tally.begun} sent in {tally.took:.1f} s, {tally.ends['completed']} completed "
        f"({tally.ends['completed'] / seconds:.1f} answers/s, {tally.pieces / seconds:.0f} pieces/s, "
        f"{tally.characters / seconds:.0f} characters/s)"
    ]
    lines += [f"  {count} {end}" for end, count in sorted(tally.ends.items()) if end != "completed"]
    lines += ["", f"{'':<14}{'p50':>10}{'p95':>10}{'p99':>10}{'most':>10}"]
    for name, times in (("accepted", tally.accepting), ("first text", tally.first_text), ("whole answer", tally.whole)):
        shown = [_milliseconds(percentile(times, share)) for share in (0.5, 0.95, 0.99, 1.0)] if times else ["-"] * 4
        lines.append(f"{name:<14}" + "".join(f"{value:>10}" for value in shown))
    return lines


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is not exceeded by `share` of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
