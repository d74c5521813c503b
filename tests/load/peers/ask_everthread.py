"""The experiments on Everthread: a mesh of two gateways and two workers, its parts killed by their ids."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import httpx2

from tests import mesh as mesh_module
from tests.load.bench import RUN_END
from tests.load.generator import Stream, read_stream
from tests.load.peers import questions as q
from tests.mesh import Mesh
from tests.sse import Frame, text_of
from tests.upstream import UpstreamProcess

MODELS = """
[providers.openai]
base_url_env = "OPENAI_BASE_URL"
api_key_env = "OPENAI_API_KEY"

[models."openai:gpt-4o-mini"]
upstream_name = "scripted"
context_window = 128000
input = 0.15
output = 0.60
continuation = "retract"

[models."openai:continues"]
upstream_name = "scripted"
context_window = 128000
input = 0.15
output = 0.60
continuation = "prefix"
"""
RETRACTS, CONTINUES = "openai:gpt-4o-mini", "openai:continues"


async def ask(mesh: Mesh, upstream: UpstreamProcess) -> q.Answers:
    """Every question, one after another."""
    async with mesh.client(0) as client, mesh.client(1) as elsewhere:
        answers = await q.attempt(_killed(mesh, client), "killed", "killed_text", "killed_silence")
        answers |= await q.attempt(_elsewhere(mesh, client), "elsewhere")
        for name, rate in (("paced", "rate=1000"), ("at_once", "")):
            answers |= await q.attempt(_long_answers(mesh, client, elsewhere, q.goes_on(rate)), name)
        answers |= await q.attempt(_ended(client, elsewhere), "ended")
        answers |= await q.attempt(_stopped(client, elsewhere, upstream), "closed", "stop")
        answers |= await q.attempt(_broken(client), "broken")
        answers["bare"] = "–"
    return answers


async def _until(stream: AsyncIterator[Frame], tokens: int) -> list[Frame]:
    """The frames until so many tokens of text have come."""
    seen: list[Frame] = []
    async for frame in stream:
        seen.append(frame)
        if frame.event == "text.delta" and len(_text(seen).split()) >= tokens:
            return seen
    raise AssertionError(f"the stream ended with {seen[-1:]}")


def _text(seen: list[Frame]) -> str:
    return text_of([frame.json for frame in seen])


async def _killed(mesh: Mesh, client: httpx2.AsyncClient) -> q.Answers:
    texts, silences, again = set[str](), dict[str, list[float]](), list[float]()
    for number, model in enumerate((RETRACTS, CONTINUES) * 3):
        await mesh.wait_ready()
        content = f"tokens={q.ANSWER} rate=80 seed={number}"
        thread = await mesh_module.create_thread(client)
        run_id = (await mesh_module.send(client, thread, content, model=model))["run_id"]
        worker = await mesh_module.writing(mesh, client, run_id)
        async with mesh_module.watching(client, f"/v1/runs/{run_id}/events") as stream:
            seen = await _until(stream, q.THIRD)
            before, killed, at = len(_text(seen)), {worker: mesh.signal(worker, signal.SIGKILL)}, time.perf_counter()
            silence = caught_up = 0.0
            async for frame in stream:
                seen.append(frame)
                if frame.event == "text.delta" and frame.json["attempt"] > 1 and not caught_up:
                    silence = silence or time.perf_counter() - at
                    caught_up = time.perf_counter() - at if len(_text(seen)) > before else 0.0
        stored = await mesh_module.stored_answer(client, thread, run_id)
        assert stored["content"] == _text(seen), "what was shown is not what is stored"
        texts.add(q.compare(_text(seen), content))
        silences.setdefault(model, []).append(silence * 1000)
        if model == RETRACTS:
            again.append(caught_up * 1000)
        await mesh.wait_ready(changed=killed)
    return {
        "killed": "it finishes: the other worker goes on in the same stream",
        "killed_text": f"{'; '.join(sorted(texts))}; stored as shown",
        "killed_silence": f"{q.middle(silences[CONTINUES])} with a provider that continues a text; with one that does not, "
        f"{q.middle(silences[RETRACTS])}, then said anew from the start (taken back by an event), and as long as before after "
        f"{q.middle(again)}",
    }


async def _elsewhere(mesh: Mesh, client: httpx2.AsyncClient) -> str:
    waits = []
    for number in range(q.TIMES):
        thread = await mesh_module.create_thread(client)
        content = f"tokens={q.ANSWER} rate=160 stamp seed={number}"
        run_id = (await mesh_module.send(client, thread, content))["run_id"]
        seen: list[Frame] = []
        async with mesh_module.watching(client, f"/v1/runs/{run_id}/events") as stream:
            async for frame in stream:
                seen.append(frame)
                if len(_text(seen).split()) >= q.THIRD:
                    break
        await asyncio.sleep(q.AWAY)
        later = Stream(asked_at=time.monotonic_ns())
        headers = {"authorization": f"Bearer {mesh.token()}", "last-event-id": seen[-1].id}
        await read_stream(f"{mesh.urls[1]}/v1/runs/{run_id}/events", later, end_marks=RUN_END, headers=headers)
        waits.append((later.first_token_at - later.asked_at) / 1e6)
        whole = [int(word.partition(":")[0]) for word in _text(seen).split()] + later.indexes
        assert whole == list(range(q.ANSWER)), f"lost or doubled: {whole}"
    return f"whole; first token {q.middle(waits)}"


async def _long_answers(mesh: Mesh, client: httpx2.AsyncClient, elsewhere: httpx2.AsyncClient, content: str) -> str:
    headers = {"authorization": f"Bearer {mesh.token()}"}
    runs, streams, viewers = [], [], []
    for _ in range(q.TIMES):
        thread = await mesh_module.create_thread(client)
        runs.append((await mesh_module.send(client, thread, content))["run_id"])
        streams.append(Stream())
        url = f"{mesh.urls[0]}/v1/runs/{runs[-1]}/events"
        viewer = read_stream(url, streams[-1], end_marks=q.NEVER, headers=headers, deadline=120)
        viewers.append(asyncio.create_task(viewer))
    await q.until_seen(streams, q.LONG)
    killed = {"gateway-1": mesh.signal("gateway-1", signal.SIGKILL)}
    await asyncio.gather(*viewers)
    found = [await q.again_from_the_start(f"{mesh.urls[1]}/v1/runs/{run}/events", headers) for run in runs]
    for run in runs:
        await elsewhere.post(f"/v1/runs/{run}/cancel")
    await mesh.wait_ready(changed=killed)
    return q.long_answer(found)


async def _ended(client: httpx2.AsyncClient, elsewhere: httpx2.AsyncClient) -> str:
    times = []
    for number in range(q.TIMES):
        content = f"tokens={q.ANSWER} rate=400 seed={number}"
        thread = await mesh_module.create_thread(client)
        run_id = (await mesh_module.send(client, thread, content))["run_id"]
        await mesh_module.stored_answer(client, thread, run_id)
        start = time.perf_counter()
        seen = await mesh_module.to_the_end(elsewhere, run_id)
        times.append((time.perf_counter() - start) * 1000)
        assert q.compare(_text(seen), content).startswith("whole")
    return f"whole; all {q.ANSWER} tokens {q.middle(times)}"


async def _stopped(client: httpx2.AsyncClient, elsewhere: httpx2.AsyncClient, upstream: UpstreamProcess) -> q.Answers:
    times: list[float] = []
    stayed = None
    for number in range(q.TIMES):
        await q.forget_calls(upstream)
        content = f"tokens=2000 rate=50 seed={number}"
        thread = await mesh_module.create_thread(client)
        run_id = (await mesh_module.send(client, thread, content))["run_id"]
        async with mesh_module.watching(client, f"/v1/runs/{run_id}/events") as stream:
            await _until(stream, 20)
        if number == 0:
            stayed = await q.left_after(upstream, content, time.time(), 3)
        at = time.time()
        response = await elsewhere.post(f"/v1/runs/{run_id}/cancel")
        assert response.status_code == 202, response.text
        left = await q.left_after(upstream, content, at, q.GIVEN_UP)
        assert left is not None, "the provider's call goes on after stop"
        times.append(left)
    await q.forget_calls(upstream)
    return {
        "closed": "goes on, as it should" if stayed is None else "is left",
        "stop": f"yes, {q.middle(times)}; the text so far is stored",
    }


async def _broken(client: httpx2.AsyncClient) -> str:
    thread = await mesh_module.create_thread(client)
    content = f"tokens={q.ANSWER} rate=80"
    run_id = (await mesh_module.send(client, thread, f"{content} cut_after={q.THIRD}"))["run_id"]
    seen = await mesh_module.to_the_end(client, run_id)
    stored = await mesh_module.stored_answer(client, thread, run_id)
    assert stored["content"] == _text(seen)
    code = seen[-1].json.get("code", "")
    return f"it ends with `{seen[-1].event}` ({code}); {len(_text(seen).split())} tokens shown, and stored as shown"
