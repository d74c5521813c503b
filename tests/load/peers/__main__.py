"""`task bench:peers`: Everthread, `resumable-stream` and, with --litellm, LiteLLM's proxy, in one run on this machine.

The same scripted upstream, the same generator, rounds in turn, the order turned around each time. Then what dies and what is
stopped, for the two that promise to resume. What is measured and how to read it: docs/benchmarks.md, whose tables this writes.
Loopback only, but for installing the peers; everything started here is stopped here.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import re
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from tests import mesh as mesh_module
from tests.load.bench import PAGE, console
from tests.load.peers import ask_everthread, ask_resumable_stream
from tests.load.peers.peer_servers import LiteLLM, PeerMissingError, ResumableStream
from tests.load.peers.picture import picture
from tests.load.peers.questions import QUESTIONS
from tests.load.peers.report import answers_table, throughput_table
from tests.load.peers.throughput import Contender, Direct, Everthread, Measured, Proxied, Resumable, one_round
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

BEGIN, END = "<!-- peer figures: written by task bench:peers -->", "<!-- end of peer figures -->"
PICTURE = PAGE.parent / "images" / "peers.svg"
FEW = 20
"""Streams of the second table, which LiteLLM's proxy can carry on two cores."""


def start_mesh(home: Path, upstream: UpstreamProcess) -> Mesh:
    """Two gateways and two workers, with a model that continues a text and one that does not."""
    home.mkdir(parents=True)
    models = home / "peers-models.toml"
    models.write_text(ask_everthread.MODELS, "utf-8")
    environment = {
        "OPENAI_BASE_URL": upstream.base_url,
        "OPENAI_API_KEY": "bench",
        "EVERTHREAD_MODELS_FILE": str(models),
    }
    return mesh_module.start(home, scale="gateway=2,inference=2", gateways=2, environment=environment)


async def rounds(
    arms: list[Contender], upstream: UpstreamProcess, *, count: int, rate: int, seconds: int, times: int
) -> list[Measured]:
    """Every arm `times` times, in turn; LiteLLM's proxy once where the streams are more than it can carry."""
    found = [Measured(arm.name, arm.stores) for arm in arms]
    for number in range(times):
        turn = list(zip(arms, found, strict=True))
        for arm, figures in turn if number % 2 == 0 else reversed(turn):
            if isinstance(arm, Proxied) and number and count > FEW:
                continue
            console.print(f"  {count} streams × {rate}/s, round {number + 1} of {times}: {arm.name}", markup=False)
            await one_round(arm, figures, upstream, count=count, rate=rate, seconds=seconds)
    return found


async def measure(arguments: argparse.Namespace) -> tuple[str, str]:
    """Start the arms, measure, ask; the tables, and the first of them as a picture."""
    # Whoever ends this ends what it started.
    measuring = asyncio.current_task()
    assert measuring is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, measuring.cancel)
    lines, pictures, notes, versions = list[str](), list[str](), list[str](), list[str]()
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="everthread-peers-", dir=arguments.store) as folder,
        UpstreamProcess() as upstream,
        contextlib.ExitStack() as running,
    ):
        resumable = ResumableStream(Path(folder), upstream.base_url)
        proxy = LiteLLM(Path(folder), upstream.base_url)

        def start(peer: ResumableStream | LiteLLM, contender: Callable[[], Contender]) -> list[Contender]:
            console.print(f"starting {type(peer).__name__}")
            running.callback(peer.stop)
            try:
                peer.start()
            except PeerMissingError as error:
                console.print(str(error), markup=False)
                notes.append(f"{type(peer).__name__} is left out: {error}")
                return []
            versions.append(peer.versions())
            return [contender()]

        peers = start(resumable, lambda: Resumable(resumable))
        # Before the mesh: with both cores to itself it is up in half the time.
        others = start(proxy, lambda: Proxied(proxy)) if arguments.litellm else []
        console.print("starting Everthread")
        mesh = start_mesh(Path(folder) / "mesh", upstream)
        running.callback(mesh.stop)
        await mesh.wait_ready()
        arms: list[Contender] = [Direct(upstream), Everthread(mesh), *peers, *others]
        for arm in arms:
            await one_round(arm, Measured(arm.name, ""), upstream, count=10, rate=arguments.rate, seconds=3)
        for count in (arguments.streams, FEW) if others else (arguments.streams,):
            found = await rounds(
                arms, upstream, count=count, rate=arguments.rate, seconds=arguments.seconds, times=arguments.rounds
            )
            lines += [*throughput_table(found, count=count, rate=arguments.rate), ""]
            pictures.append(picture(found, count=count, rate=arguments.rate))
        proxy.stop()
        theirs = dict.fromkeys(QUESTIONS, "left out")
        if peers:
            console.print("what dies and what is stopped: resumable-stream (a traceback of the upstream is part of it)")
            theirs = await ask_resumable_stream.ask(resumable, upstream)
        console.print("what dies and what is stopped: Everthread (likewise)")
        lines += answers_table(await ask_everthread.ask(mesh, upstream), theirs)
    heading = (
        f"Machine: {os.cpu_count()} cores with a load of {load:.0f} from other work, {platform.system()}, Python "
        f"{platform.python_version()}. Command: `uv run task bench:peers -- {'--litellm ' if arguments.litellm else ''}"
        f"--streams {arguments.streams} --rate {arguments.rate} --seconds {arguments.seconds} --rounds {arguments.rounds}`."
    )
    if load > 1:
        notes.append(
            "The machine was shared with that work: compare the arms, and do not take the latencies for their own."
        )
    about = " ".join([heading, *(f"{version}." for version in versions), *notes])
    return "\n".join([about, "", *lines]).rstrip(), pictures[0]


def main() -> None:
    """Measure, print, and (unless --no-write) put the tables into docs/benchmarks.md and the picture beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument(
        "--litellm", action="store_true", help="LiteLLM's proxy as well (installs it; two to three minutes more)"
    )
    default = Path("/dev/shm")
    parser.add_argument("--store", type=Path, default=default if default.is_dir() else Path(tempfile.gettempdir()))
    parser.add_argument("--no-write", action="store_true", help="leave docs/ as it is")
    arguments = parser.parse_args()
    began = time.monotonic()
    text, drawn = uvloop.run(measure(arguments))
    console.print(text, markup=False, soft_wrap=True)
    console.print(f"took {time.monotonic() - began:.0f} s")
    if not arguments.no_write:
        page = re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", PAGE.read_text("utf-8"), flags=re.DOTALL)
        PAGE.write_text(page, "utf-8")
        PICTURE.write_text(drawn, "utf-8")


if __name__ == "__main__":
    main()
