"""Rows of `task bench:limits`: long answers read again whole, at another gateway than the one that served them, which is dead."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from tests import mesh as mesh_module
from tests.load.figures import Row, console, spread
from tests.load.viewers import Viewer, attach, read_whole
from tests.mesh import Mesh
from tests.upstream import expected_text
from tests.upstream_script import token

AT_ONCE = 20
SAMPLES = 11
LONG, LONG_RATE = 10_000, 300
LONGEST, LONGEST_RATE = 50_000, 2_500
ROUNDS = 5


@dataclass(frozen=True)
class Answer:
    """An answer that was generated, and what its text must be."""

    run_id: str
    text: str
    events: int


async def generate(mesh: Mesh, client: httpx2.AsyncClient, tokens: int, rate: int, within: float) -> list[Answer]:
    """AT_ONCE answers at once, watched at the first gateway and stored."""
    contents = [f"tokens={tokens} rate={rate} seed={seed}" for seed in range(AT_ONCE)]

    async def one(content: str) -> Answer:
        thread = await mesh_module.create_thread(client)
        run_id = (await mesh_module.send(client, thread, content))["run_id"]
        viewer = await read_whole(f"{mesh.urls[0]}/v1/runs/{run_id}/events", mesh.token(), within=within)
        expected = expected_text(content)
        assert viewer.text() == expected, f"{run_id} was shown with another text than was sent"
        stored = await mesh_module.stored_answer(client, thread, run_id, within=60)
        assert stored["content"] == expected, f"{run_id} is stored with another text than was sent"
        seen = (await client.get(f"/v1/runs/{run_id}")).json()
        return Answer(run_id, expected, seen["sequence"])

    return list(await asyncio.gather(*(one(content) for content in contents)))


async def read_again(mesh: Mesh, answers: list[Answer], gateway: int = -1) -> tuple[list[Viewer], int]:
    """All of them at once, and how many came with another text than was sent."""
    urls = [f"{mesh.urls[gateway]}/v1/runs/{answer.run_id}/events" for answer in answers]
    viewers = await asyncio.gather(*(read_whole(url, mesh.token()) for url in urls))
    wrong = sum(viewer.text() != answer.text for viewer, answer in zip(viewers, answers, strict=True))
    return list(viewers), wrong


async def after_a_kill(mesh: Mesh, answer: Answer, count: int) -> tuple[list[float], int]:
    """Milliseconds from connecting to the other gateway to the end of the answer, right after `kill -9` of the first."""
    times, wrong = [], 0
    await read_again(mesh, [answer])
    for _ in range(count):
        killed = {"gateway-1": mesh.signal("gateway-1", signal.SIGKILL)}
        (viewer,), bad = await read_again(mesh, [answer])
        times.append(viewer.milliseconds)
        wrong += bad
        await mesh.wait_ready(changed=killed)
    return times, wrong


@asynccontextmanager
async def going_on(
    mesh: Mesh, client: httpx2.AsyncClient
) -> AsyncIterator[Callable[[], Awaitable[tuple[list[float], int]]]]:
    """An answer that says LONG tokens and then nothing, without an end. What is yielded waits for that and reads it, without a
    kill: milliseconds, and how often another text came than was sent."""
    thread = await mesh_module.create_thread(client)
    content = f"tokens={LONG + 1} rate={LONG_RATE} stall_after={LONG}"
    run_id = (await mesh_module.send(client, thread, content))["run_id"]
    expected = "".join(token(index, 0) for index in range(LONG))
    last = (token(LONG - 1, 0).encode(),)
    watcher = await attach(f"{mesh.urls[0]}/v1/runs/{run_id}/events", mesh.token(), end_marks=last)

    async def read() -> tuple[list[float], int]:
        await asyncio.wait_for(watcher.ended, LONG / LONG_RATE + 30)
        url = f"{mesh.urls[-1]}/v1/runs/{run_id}/events"
        viewers = [await read_whole(url, mesh.token(), end_marks=last) for _ in range(SAMPLES)]
        return [viewer.milliseconds for viewer in viewers], sum(viewer.text() != expected for viewer in viewers)

    try:
        yield read
    finally:
        watcher.close()
        await client.post(f"/v1/runs/{run_id}/cancel")


async def resume(mesh: Mesh, client: httpx2.AsyncClient) -> list[Row]:
    """10,000 tokens: alone, twenty at once, and while it goes on."""
    console.print(
        f"  {AT_ONCE} answers of {LONG} tokens are generated, {LONG_RATE} tokens/s each, and one that goes on"
    )
    began = time.monotonic()
    async with going_on(mesh, client) as read_it:
        answers = await generate(mesh, client, LONG, LONG_RATE, within=120)
        alive, wrong_alive = await read_it()
    console.print(f"  generated in {time.monotonic() - began:.0f} s; the gateway is killed {SAMPLES} times")
    alone, wrong_alone = await after_a_kill(mesh, answers[0], SAMPLES)
    together, wrong_together = [], 0
    for _ in range(ROUNDS):
        viewers, wrong = await read_again(mesh, answers)
        together += [viewer.milliseconds for viewer in viewers]
        wrong_together += wrong
    events = sorted(answer.events for answer in answers)[AT_ONCE // 2]
    what = f"{LONG:,} tokens ({events:,} events)"
    return [
        Row(
            f"answer of {what} again whole, at the other gateway after `kill -9` of the first",
            spread(alone),
            "p50 ≤ 10 ms",
        ),
        Row(f"{AT_ONCE} such answers at once", spread(together), "p99 ≤ 80 ms"),
        Row(f"one that has said {LONG:,} tokens and goes on", spread(alive), "–"),
        Row("of these, with another text than was sent", str(wrong_alone + wrong_together + wrong_alive), "0"),
    ]


async def longest(mesh: Mesh, client: httpx2.AsyncClient) -> list[Row]:
    """20 answers of 50,000 tokens, read at once."""
    console.print(f"  {AT_ONCE} answers of {LONGEST} tokens are generated, {LONGEST_RATE} tokens/s each asked for")
    began = time.monotonic()
    answers = await generate(mesh, client, LONGEST, LONGEST_RATE, within=150)
    took = time.monotonic() - began
    viewers, wrong = await read_again(mesh, answers)
    events = sorted(answer.events for answer in answers)[AT_ONCE // 2]
    return [
        Row(
            f"{AT_ONCE} answers of {LONGEST:,} tokens ({events:,} events each) read again at once",
            spread([viewer.milliseconds for viewer in viewers]),
            "–",
        ),
        Row("of these, with another text than was sent", f"{wrong} of {len(answers)}", "0"),
        Row("generating them, all at once", f"{AT_ONCE * LONGEST / took:,.0f} tokens/s", "–"),
    ]
