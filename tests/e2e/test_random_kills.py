"""Fifty answers, each fifth of them in several steps with tools, workers killed at random points again and again: each ends
exactly once, and what was shown is stored."""

import asyncio
import random
import signal

from tests.mesh import TERMINAL, Mesh, create_thread, send_until_accepted, stored_answer, to_the_end
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
            if index % 5 == 0:
                first, model = f"tokens={choose.randrange(10, 60)} rate=40 seed={index}", "openai:scripted-tools"
                steps = [first, 'call=calculator:{"expression":"6*7"} call=time:{}', 'call=wait:{"seconds":1}', content]
                content = f"{steps[0]} {steps[1]} then {steps[2]} then {steps[3]}"
            agent = "researcher" if index % 5 == 0 else ""
            accepted = await send_until_accepted(client, thread, content, model=model, agent=agent)
            seen = await to_the_end(client, accepted["run_id"])
            message = await stored_answer(client, thread, accepted["run_id"], within=30)
            sequences = [frame.json["sequence"] for frame in seen]
            assert sequences == list(range(1, len(seen) + 1))
            assert sum(frame.event in TERMINAL for frame in seen) == 1
            asked = [frame.json["tool_call_id"] for frame in seen if frame.event == "tool.call"]
            results = [frame.json["tool_call_id"] for frame in seen if frame.event == "tool.result"]
            assert (len(asked), sorted(results)) == (3 if index % 5 == 0 else 0, sorted(asked))
            assert text_of([frame.json for frame in seen]) == message["content"] == expected_text(content)

        answers = [asyncio.create_task(one(index, thread)) for index, thread in enumerate(thread_ids)]
        for _ in range(4):
            await asyncio.sleep(0.8 + choose.random())
            victim = choose.choice(["inference-1", "inference-2"])
            killed = {victim: mesh.signal(victim, signal.SIGKILL)}
            await mesh.wait_ready(changed=killed)
        await asyncio.gather(*answers)
