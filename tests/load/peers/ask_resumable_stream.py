"""The same experiments on `resumable-stream`: servers that share a Redis, killed by their ids.

It does not claim to survive its producer, nor to keep an answer that has ended, nor to stop one; its README and the AI SDK's
guide say so. What they advise for the rest is what server.mjs does.
"""

import asyncio
import json
import time
import uuid

import httpx2

from tests.load.bench import DIRECT_END
from tests.load.generator import Stream, read_stream
from tests.load.peers import questions as q
from tests.load.peers.peer_servers import ResumableStream, Server
from tests.upstream import UpstreamProcess


async def ask(peer: ResumableStream, upstream: UpstreamProcess) -> q.Answers:
    """Every question, one after another."""
    async with httpx2.AsyncClient(timeout=httpx2.Timeout(30, read=60)) as client:
        answers = await q.attempt(_killed(peer, client), "killed", "killed_text", "killed_silence")
        answers |= await q.attempt(_elsewhere(peer, client), "elsewhere")
        for name, rate in (("paced", "rate=1000"), ("at_once", "")):
            answers |= await q.attempt(_long_answers(peer, client, q.goes_on(rate)), name)
        answers |= await q.attempt(_ended(peer, client), "ended")
        answers |= await q.attempt(_stopped(peer, client, upstream), "closed", "stop")
        answers |= await q.attempt(_broken(peer, client), "broken")
        answers |= await q.attempt(_bare(peer, client), "bare")
    return answers


def _url(server: Server, stream_id: str) -> str:
    return f"{server.url}/streams/{stream_id}"


def said(sent: str) -> str:
    """The text in the whole frames of what a server has sent of a provider's stream."""
    pieces = []
    for frame in sent.split("\n\n")[:-1]:
        data = frame.rpartition("data: ")[2]
        choices = json.loads(data).get("choices") if data != "[DONE]" else None
        pieces.append((choices[0]["delta"].get("content") or "") if choices else "")
    return "".join(pieces)


async def _watch(response: httpx2.Response, tokens: int) -> str:
    """What is sent until it holds so many tokens, up to the end of a frame; all of it where the connection ends before."""
    sent = ""
    async for piece in response.aiter_text():
        sent += piece
        if len(said(sent).split()) >= tokens:
            break
    return sent[: sent.rindex("\n\n") + 2] if "\n\n" in sent else ""


async def _killed(peer: ResumableStream, client: httpx2.AsyncClient) -> q.Answers:
    producer, other = peer.nodes
    stream_id, content = uuid.uuid4().hex, f"tokens={q.ANSWER} rate=80 seed=1"
    async with client.stream("POST", _url(producer, stream_id), json=q.question(content)) as response:
        sent = await _watch(response, q.THIRD)
        async with client.stream("GET", _url(other, stream_id)) as beside:
            producer.kill()
            at = time.perf_counter()
            shown, silent = "", False
            try:
                async with asyncio.timeout(q.GIVEN_UP):
                    async for piece in beside.aiter_text():
                        shown += piece
            except TimeoutError:
                silent = True
    asked = time.perf_counter()
    back = await client.get(_url(other, stream_id), params={"resumeAt": len(sent)})
    refused = time.perf_counter() - asked
    peer.nodes[0] = peer.another()
    beside_it = f"says nothing for {q.GIVEN_UP:g} s and stays open" if silent else f"ends after {asked - at:.1f} s"
    return {
        "killed": f"it does not (nor does the library claim it): asked again, another process answers {back.status_code} "
        f"({back.text}) after {refused:.1f} s; a second viewer's stream {beside_it}",
        "killed_text": f"{q.compare(said(max(sent, shown, key=len)), content)}; what was shown is stored nowhere",
        "killed_silence": "it does not go on",
    }


async def _elsewhere(peer: ResumableStream, client: httpx2.AsyncClient) -> str:
    waits = []
    for number in range(q.TIMES):
        stream_id, content = uuid.uuid4().hex, f"tokens={q.ANSWER} rate=160 stamp seed={number}"
        async with client.stream("POST", _url(peer.nodes[0], stream_id), json=q.question(content)) as response:
            sent = await _watch(response, q.THIRD)
        await asyncio.sleep(q.AWAY)
        later = Stream(asked_at=time.monotonic_ns())
        await read_stream(f"{_url(peer.nodes[1], stream_id)}?resumeAt={len(sent)}", later, end_marks=DIRECT_END)
        waits.append((later.first_token_at - later.asked_at) / 1e6)
        whole = [int(word.partition(":")[0]) for word in said(sent).split()] + later.indexes
        assert whole == list(range(q.ANSWER)), f"lost or doubled: {whole}"
    return f"whole; first token {q.middle(waits)}"


async def _long_answers(peer: ResumableStream, client: httpx2.AsyncClient, content: str) -> str:
    ids, streams, viewers = [], [], []
    for _ in range(q.TIMES):
        ids.append(uuid.uuid4().hex)
        # Who asked leaves at the first token; the viewer to be cut off is at another server than the one that generates.
        asking = read_stream(_url(peer.nodes[0], ids[-1]), Stream(), end_marks=(b'"0:',), body=q.question(content))
        await asking
        streams.append(Stream())
        viewer = read_stream(_url(peer.nodes[1], ids[-1]), streams[-1], end_marks=q.NEVER, deadline=120)
        viewers.append(asyncio.create_task(viewer))
    await q.until_seen(streams, q.LONG)
    third = peer.another()
    peer.nodes[1].kill()
    await asyncio.gather(*viewers)
    found = [await q.again_from_the_start(_url(third, stream_id)) for stream_id in ids]
    for stream_id in ids:
        await client.post(f"{_url(third, stream_id)}/stop")
    peer.nodes[1] = third
    return q.long_answer(found)


async def _ended(peer: ResumableStream, client: httpx2.AsyncClient) -> str:
    stream_id = uuid.uuid4().hex
    await client.post(_url(peer.nodes[0], stream_id), json=q.question(f"tokens={q.ANSWER} rate=400"))
    response = await client.get(_url(peer.nodes[1], stream_id))
    return f"no ({response.status_code}, “{response.text}”): the application keeps what has ended, as the README says"


async def _stopped(peer: ResumableStream, client: httpx2.AsyncClient, upstream: UpstreamProcess) -> q.Answers:
    times: list[float] = []
    stayed = None
    for number in range(q.TIMES):
        await q.forget_calls(upstream)
        stream_id, content = uuid.uuid4().hex, f"tokens=2000 rate=50 seed={number}"
        async with client.stream("POST", _url(peer.nodes[0], stream_id), json=q.question(content)) as response:
            await _watch(response, 20)
        if number == 0:
            stayed = await q.left_after(upstream, content, time.time(), 3)
        at = time.time()
        await client.post(f"{_url(peer.nodes[1], stream_id)}/stop")
        left = await q.left_after(upstream, content, at, q.GIVEN_UP)
        assert left is not None, "the provider's call goes on after stop"
        times.append(left)
    await q.forget_calls(upstream)
    return {
        "closed": "goes on, as it should" if stayed is None else "is left",
        "stop": f"the library has no stop; by an endpoint built as the AI SDK's guide advises (Redis channel and "
        f"`AbortController`): yes, {q.middle(times)}; the text so far is the application's to store",
    }


async def _broken(peer: ResumableStream, client: httpx2.AsyncClient) -> str:
    content = f"tokens={q.ANSWER} rate=80 cut_after={q.THIRD}"
    async with client.stream("POST", _url(peer.nodes[0], uuid.uuid4().hex), json=q.question(content)) as response:
        sent = "".join([piece async for piece in response.aiter_text()])
    told = "an error event of the server's own" if "event: error" in sent else "nothing that says so"
    return f"it ends with {told}; {len(said(sent.partition('event: error')[0]).split())} tokens shown, stored nowhere"


async def _bare(peer: ResumableStream, client: httpx2.AsyncClient) -> str:
    node = peer.another()
    bystander = asyncio.create_task(
        read_stream(
            _url(node, uuid.uuid4().hex),
            other := Stream(),
            end_marks=DIRECT_END,
            body=q.question("tokens=400 rate=80 stamp"),
        )
    )
    content = f"tokens={q.ANSWER} rate=80 cut_after={q.THIRD}"
    try:
        await client.post(f"{_url(node, uuid.uuid4().hex)}?bare", json=q.question(content))
    except httpx2.HTTPError:
        await asyncio.to_thread(node.process.wait, q.GIVEN_UP)
    await bystander
    node.stop()
    if node.process.returncode == 1:
        return (
            "in plain Node the process ends (a rejection nobody handles), and every answer in it: another one was cut off "
            f"after {len(other.indexes)} of 400 tokens"
        )
    return f"the process goes on; another answer in it had {len(other.indexes)} of 400 tokens"
