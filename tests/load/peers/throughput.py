"""Tokens through each arm: the same streams from the same upstream to the same generator, arm after arm."""

import asyncio
import contextlib
import itertools
import os
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests import mesh as mesh_module
from tests.load.bench import DIRECT_END, STARTS, Arm, durable_round, quantile, together
from tests.load.generator import Stream, read_stream
from tests.load.peers.peer_servers import LiteLLM, ResumableStream
from tests.load.peers.questions import question
from tests.load.processes import cpu_seconds
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

DEADLINE = 120.0
"""Seconds after which what a stream has not shown is lost."""
SETTLES = 1.0
"""Seconds after a round in which what it leaves to do is done, and counted to it."""


class Contender(Protocol):
    """One arm: how to have so many streams from it, and the CPU seconds of all its processes so far."""

    name: str
    stores: str

    async def prepare(self, count: int) -> None: ...

    async def streams(self, count: int, content: str) -> list[Stream]: ...

    def cpu(self) -> float: ...


def milliseconds(value: float) -> str:
    """A latency with as many digits as mean something."""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


async def _ask(url: str, stream: Stream, content: str, headers: dict[str, str] | None = None) -> None:
    body: dict[str, Any] = question(content)
    with contextlib.suppress(TimeoutError):
        await read_stream(url, stream, end_marks=DIRECT_END, body=body, headers=headers, deadline=DEADLINE)


class Direct:
    """The upstream itself."""

    name, stores = "direct to the upstream", "–"

    def __init__(self, upstream: UpstreamProcess) -> None:
        self._url = f"{upstream.base_url}/chat/completions"

    async def prepare(self, count: int) -> None:
        """Nothing to do."""

    async def streams(self, count: int, content: str) -> list[Stream]:
        return await together(count, lambda stream: _ask(self._url, stream, content))

    def cpu(self) -> float:
        return 0.0


class Everthread:
    """Messages through a mesh, watched at its first gateway; accepted, recorded and billed as well."""

    name, stores = "**Everthread**", "each token, before it is shown"

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self._threads: list[str] = []

    async def prepare(self, count: int) -> None:
        async with self._mesh.client() as client:
            self._threads = [await mesh_module.create_thread(client) for _ in range(count)]

    async def streams(self, count: int, content: str) -> list[Stream]:
        async with self._mesh.client() as client:
            return await durable_round(self._mesh, self._threads, client, content)

    def cpu(self) -> float:
        parts = [part["pid"] for part in self._mesh.ps().values()]
        return sum(cpu_seconds(pid) for pid in (*parts, self._mesh.process.pid))


class Resumable:
    """The first server of `resumable-stream`."""

    name, stores = "`resumable-stream`, raw", "in its producer's memory"

    def __init__(self, peer: ResumableStream) -> None:
        self._peer = peer

    async def prepare(self, count: int) -> None:
        """Nothing to do."""

    async def streams(self, count: int, content: str) -> list[Stream]:
        url = f"{self._peer.nodes[0].url}/streams/"
        return await together(count, lambda stream: _ask(url + uuid.uuid4().hex, stream, content))

    def cpu(self) -> float:
        return self._peer.cpu()


class Proxied:
    """LiteLLM's proxy."""

    name, stores = "LiteLLM proxy", "nothing"

    def __init__(self, peer: LiteLLM) -> None:
        self._peer = peer

    async def prepare(self, count: int) -> None:
        """Nothing to do."""

    async def streams(self, count: int, content: str) -> list[Stream]:
        headers = {"authorization": f"Bearer {self._peer.key}"}
        urls = itertools.cycle(f"{proxy.url}/v1/chat/completions" for proxy in self._peer.proxies)
        return await together(count, lambda stream: _ask(next(urls), stream, content, headers))

    def cpu(self) -> float:
        return self._peer.cpu()


@dataclass
class Measured:
    """One arm's rounds. CPU is in seconds; `steady` is the time in which all streams run, with the tokens seen in it."""

    name: str
    stores: str
    arm: Arm = field(default_factory=lambda: Arm(""))
    own: float = 0.0
    upstream: float = 0.0
    generator: float = 0.0
    steady_own: float = 0.0
    steady_tokens: int = 0
    silent: int = 0

    def latencies(self) -> list[float]:
        """Milliseconds a token, while all streams ran, or all of them where they never did."""
        return self.arm.latencies or self.arm.beside_starts

    def p(self, q: float) -> float:
        """A quantile of the latencies."""
        return quantile(self.latencies(), q) if self.latencies() else float("nan")

    def a_token(self, seconds: float) -> float:
        """Seconds as µs for each token that was seen."""
        return seconds / max(self.arm.tokens, 1) * 1e6

    def steady(self) -> float:
        """µs of its own CPU a token while all streams ran."""
        return self.steady_own / max(self.steady_tokens, 1) * 1e6


async def one_round(
    contender: Contender, found: Measured, upstream: UpstreamProcess, *, count: int, rate: int, seconds: int
) -> None:
    """`count` streams of `rate` tokens a second for so many seconds, once."""
    expected = rate * seconds
    samples: list[tuple[int, float]] = []

    async def sample() -> None:
        for wait in (count / STARTS + 1, max(0.5, seconds - count / STARTS - 1.5)):
            await asyncio.sleep(wait)
            samples.append((time.monotonic_ns(), contender.cpu()))

    def used() -> list[float]:
        return [contender.cpu(), cpu_seconds(upstream.pid), cpu_seconds(os.getpid())]

    await contender.prepare(count)
    before = used()
    sampling = asyncio.create_task(sample())
    streams = await contender.streams(count, f"tokens={expected} rate={rate} stamp")
    await asyncio.gather(sampling, asyncio.sleep(SETTLES))
    own, of_upstream, of_generator = (now - then for now, then in zip(used(), before, strict=True))
    found.own, found.upstream = found.own + own, found.upstream + of_upstream
    found.generator += of_generator
    (since, cpu_then), (until, cpu_now) = samples
    found.steady_own += cpu_now - cpu_then
    found.steady_tokens += sum(since <= when < until for stream in streams for when, _ in stream.arrivals)
    heard = [stream for stream in streams if stream.arrivals]
    found.silent += len(streams) - len(heard)
    found.arm.lost += expected * (len(streams) - len(heard))
    if heard:
        found.arm.add(heard, expected)
