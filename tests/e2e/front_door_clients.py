"""The official clients as people use them: each asks through its door and, when it is cut off, comes back by its own means."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import openai
from websockets.exceptions import ConnectionClosed

from tests.clients.live import LiveClients
from tests.integration.gateway_ws.talk import talking
from tests.mesh import TERMINAL
from tests.plain_http import NO_AUTHORITIES, plain_client
from tests.sse import frames, text_of

BROKEN: Final = (openai.APIConnectionError, httpx2.TransportError)
"""What the Python SDK raises when its connection is lost, before the answer or within."""


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One conversation of one user. `bases` are the gateways' addresses, tried one after another; `cut` is after how many
    frames the first connection is lost; `away` is awaited with the run's id before the client comes back."""

    clients: LiveClients
    token: str
    model: str
    bases: list[str]
    content: str
    name: str
    cut: int | None = None
    away: Callable[[str], Awaitable[object]] | None = None

    @property
    def cuts(self) -> list[int]:
        return [] if self.cut is None else [self.cut]

    def node(self, base: int) -> dict[str, Any]:
        return {"id": self.name, "bases": self.bases[base:], "token": self.token}

    def sdk(self, base: str) -> openai.AsyncOpenAI:
        http = openai.DefaultAsyncHttpxClient(verify=NO_AUTHORITIES, trust_env=False)
        return openai.AsyncOpenAI(api_key=self.token, base_url=f"{base}/openai/v1", http_client=http)

    async def pause(self, run_id: str) -> None:
        if self.away is not None:
            await self.away(run_id)


@dataclass(frozen=True)
class Shown:
    """What the client shows in the end, and how many connections it took."""

    run_id: str
    text: str
    connections: int


def chat_text(answer: dict[str, Any]) -> str:
    """The text of the last message of useChat's Chat."""
    message = answer["messages"][-1]
    assert message["role"] == "assistant", answer
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def agui_text(answer: dict[str, Any]) -> str:
    """The text of the assistant in an AG-UI agent."""
    return "".join(message.get("content") or "" for message in answer["messages"] if message["role"] == "assistant")


async def use_chat(visit: Visit) -> Shown:
    """useChat with DefaultChatTransport; a lost connection is resumed as a page does it, by resumeStream()."""
    ask = visit.clients.ask
    answer = await ask("chat", what="send", text=visit.content, cuts=visit.cuts, **visit.node(0))
    seen = answer["seen"]
    run_id = seen[0]["headers"]["x-run-id"]
    if answer["status"] == "error":
        await visit.pause(run_id)
        answer = await ask("chat", what="resume", **visit.node(1))
        seen += answer["seen"]
    assert (answer["status"], answer["error"]) == ("ready", None), answer
    return Shown(run_id, chat_text(answer), len(seen))


async def workflow(visit: Visit) -> Shown:
    """useChat with WorkflowChatTransport, which comes back with startIndex by itself."""
    answer = await visit.clients.ask(
        "chat", what="send", text=visit.content, transport="workflow", cuts=visit.cuts, **visit.node(0)
    )
    assert (answer["status"], answer["error"]) == ("ready", None), answer
    return Shown(answer["seen"][0]["headers"]["x-run-id"], chat_text(answer), len(answer["seen"]))


async def agui(visit: Visit) -> Shown:
    """AG-UI's HttpAgent; a lost connection goes on at the run's events."""
    ask = visit.clients.ask
    agent = visit.node(0) | {"threadId": visit.name}
    answer = await ask("agui", what="run", text=visit.content, cuts=visit.cuts, **agent)
    connections = 1
    run_id = answer["seen"][0]["headers"]["x-run-id"]
    if answer["error"] is not None:
        await visit.pause(run_id)
        answer = await ask("agui", what="resume", run=run_id, **visit.node(1))
        connections = 2
    assert answer["error"] is None, answer
    return Shown(run_id, agui_text(answer), connections)


async def completions(visit: Visit) -> Shown:
    """The OpenAI SDK, chat.completions; a lost call is made again with the same Idempotency-Key."""
    key, run_id = str(uuid.uuid4()), ""
    for number, base in enumerate(visit.bases, 1):
        text, finish, frames = "", None, 0
        async with visit.sdk(base) as client:
            try:
                async with await client.chat.completions.create(
                    model=visit.model,
                    messages=[{"role": "user", "content": visit.content}],
                    stream=True,
                    extra_headers={"Idempotency-Key": key},
                ) as stream:
                    run_id = stream.response.headers["x-run-id"]
                    async for chunk in stream:
                        frames += 1
                        text += chunk.choices[0].delta.content or ""
                        finish = chunk.choices[0].finish_reason or finish
                        if number == 1 and frames == visit.cut:
                            break
            except BROKEN:
                continue
        if finish:
            return Shown(run_id, text, number)
        await visit.pause(run_id)
    raise AssertionError("no gateway finished the completion")


async def responses(visit: Visit) -> Shown:
    """The OpenAI SDK, responses; a lost stream goes on with starting_after."""
    response_id, last = "", -1
    for number, base in enumerate(visit.bases, 1):
        frames = 0
        async with visit.sdk(base) as client:
            try:
                async with (
                    await client.responses.retrieve(response_id, stream=True, starting_after=last)
                    if response_id
                    else await client.responses.create(model=visit.model, input=visit.content, stream=True)
                ) as stream:
                    async for event in stream:
                        assert event.sequence_number == last + 1
                        last, frames = event.sequence_number, frames + 1
                        if event.type == "response.created":
                            response_id = event.response.id
                        final = getattr(event, "response", None)
                        if final is not None and final.status not in ("queued", "in_progress"):
                            return Shown(run_of_response(response_id), final.output_text, number)
                        if number == 1 and frames == visit.cut:
                            break
            except BROKEN:
                continue
        await visit.pause(run_of_response(response_id))
    raise AssertionError("no gateway finished the response")


def run_of_response(response_id: str) -> str:
    """The run behind a response's id."""
    return "run_" + response_id.removeprefix("resp_")


def response_of_run(run_id: str) -> str:
    """The response's id of a run."""
    return "resp_" + run_id.removeprefix("run_")


async def _asked(visit: Visit) -> str:
    """Ask over HTTP at the first gateway; the run's id."""
    headers = {"authorization": f"Bearer {visit.token}"}
    async with plain_client(base_url=visit.bases[0], headers=headers, timeout=30) as client:
        thread = (await client.post("/v1/threads", json={})).json()["id"]
        body = {"content": visit.content, "model": visit.model}
        answer = await client.post(f"/v1/threads/{thread}/messages", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["run_id"])


async def native(visit: Visit) -> Shown:
    """Plain HTTP; a lost event stream goes on with Last-Event-ID."""
    run_id, cursor = await _asked(visit), ""
    events: list[dict[str, Any]] = []
    headers = {"authorization": f"Bearer {visit.token}"}
    for number, base in enumerate(visit.bases, 1):
        place = {"last-event-id": cursor} if cursor else {}
        try:
            async with (
                plain_client(headers=headers, timeout=30) as client,
                client.stream("GET", f"{base}/v1/runs/{run_id}/events", headers=place) as response,
            ):
                async for frame in frames(response):
                    if frame.event == "end":
                        break
                    cursor = frame.id or cursor
                    events.append(frame.json)
                    if frame.event in TERMINAL:
                        return Shown(run_id, text_of(events), number)
                    if number == 1 and len(events) == visit.cut:
                        break
        except httpx2.TransportError:
            continue
        await visit.pause(run_id)
    raise AssertionError("no gateway finished the stream")


async def websocket(visit: Visit) -> Shown:
    """A WebSocket; a lost connection subscribes again with its cursor."""
    run_id, cursor = await _asked(visit), ""
    events: list[dict[str, Any]] = []
    for number, base in enumerate(visit.bases, 1):
        try:
            async with talking(base, visit.token) as talk:
                await talk.say("subscribe", id="one", run=run_id, **({"cursor": cursor} if cursor else {}))
                while (message := await talk.hear())["type"] != "ended":
                    assert message["type"] in ("subscribed", "event"), message
                    if message["type"] == "event":
                        cursor = message.get("cursor", cursor)
                        events.append(message["event"])
                    if number == 1 and len(events) == visit.cut:
                        break
                else:
                    return Shown(run_id, text_of(events), number)
        except ConnectionClosed:
            continue
        await visit.pause(run_id)
    raise AssertionError("no gateway finished the subscription")


DOORS: Final[dict[str, Callable[[Visit], Awaitable[Shown]]]] = {
    "useChat": use_chat,
    "workflow": workflow,
    "completions": completions,
    "responses": responses,
    "agui": agui,
    "native": native,
    "websocket": websocket,
}
