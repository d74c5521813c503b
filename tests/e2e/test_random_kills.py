"""Fifty answers, workers killed at random points again and again: each ends exactly once, and what was shown is stored."""

import asyncio
import random
import signal

from tests.mesh import TERMINAL, Mesh, create_thread, send, stored_answer, to_the_end
from tests.sse import text_of
from tests.upstream import expected_text


async def test_fifty_runs_under_random_kills(mesh: Mesh) -> None:
    choose = random.Random(20261121)
    async with mesh.client() as client:
        thread_ids = [await create_thread(client) for _ in range(50)]

        async def one(index: int, thread: str) -> None:
            content = f"tokens={choose.randrange(60, 200)} rate=40 seed={index}"
            await asyncio.sleep(choose.random() * 2)
            model = choose.choice(["openai:gpt-4o-mini", "prefix:scripted"])
            accepted = await send(client, thread, content, model=model)
            seen = await to_the_end(client, accepted["run_id"])
            message = await stored_answer(client, thread, accepted["run_id"], within=30)
            sequences = [frame.json["sequence"] for frame in seen]
            assert sequences == list(range(1, len(seen) + 1))
            assert sum(frame.event in TERMINAL for frame in seen) == 1
            assert text_of([frame.json for frame in seen]) == message["content"] == expected_text(content)

        answers = [asyncio.create_task(one(index, thread)) for index, thread in enumerate(thread_ids)]
        for _ in range(4):
            await asyncio.sleep(0.8 + choose.random())
            victim = choose.choice(["inference-1", "inference-2"])
            killed = {victim: mesh.signal(victim, signal.SIGKILL)}
            await mesh.wait_ready(changed=killed)
        await asyncio.gather(*answers)
