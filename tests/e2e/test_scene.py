"""One conversation, on real processes, in one scene: three people watch it, two terminals of the owner's show it, a service is told
of it, and who was away finds what happened."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from standardwebhooks import Webhook as Verifier

from tests.e2e.test_notices import admin, events_of, receiver, subscribe, until  # noqa: F401 - fixtures of this scene too
from tests.e2e.test_people import Watcher, me
from tests.integration.notifier.world import Server
from tests.mesh import COMMAND, Mesh, create_thread, send, stored_answer
from tests.sse import Frame, text_of
from tests.terminal import Terminal
from tests.upstream import expected_text

ASKED = "tokens=90 rate=25"
STEERED = "tokens=25 rate=25 seed=3"
NEXT = "tokens=30 rate=25 seed=5"
WIDE = 400
TOLD = ("thread.shared", "message.accepted", "run.completed", "run.failed", "run.cancelled")


@pytest.fixture
async def people(mesh: Mesh) -> AsyncIterator[dict[str, httpx2.AsyncClient]]:
    """Owner, editor and viewer, at both gateways."""
    clients = {
        "owner": mesh.client(0, user="ona"),
        "editor": mesh.client(1, user="eli"),
        "viewer": mesh.client(0, user="vik"),
    }
    yield clients
    for client in clients.values():
        await client.aclose()


def chatting(mesh: Mesh, thread: str) -> Terminal:
    """A device of the owner's: `everthread chat` in a terminal of its own."""
    arguments = [COMMAND, "chat", "--home", str(mesh.home), "--user", "ona", "--thread", thread]
    return Terminal(arguments, mesh.environment, columns=WIDE)


async def shows(terminal: Terminal, text: str) -> str:
    """Once the terminal shows a text, however its lines are broken; all that it shows then, without blanks."""
    wanted = squeezed(text)
    return squeezed(await asyncio.to_thread(terminal.until, lambda screen: wanted in squeezed(screen), 30))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def told_apart(lines: list[str]) -> tuple[str, list[str]]:
    """What a terminal shows of answers, without blanks, and of what people wrote. The rest are names, notes, prompt and status."""
    questions = [line for line in lines if line.startswith("tokens=")]
    notes = ("[", "you>", "Ctrl-C", "tokens=")
    said = [line for line in lines if not line.startswith(notes) and not line.endswith("| /help")]
    answers = [line for line in said if not re.fullmatch(r"\S+:", line)]
    return squeezed("".join(answers)), questions


def of_run(frames: list[Frame], run: str) -> list[dict[str, Any]]:
    """The events of a run among those of its thread."""
    return [frame.json for frame in frames if frame.event and frame.json.get("run_id") == run]


def ended(watcher: Watcher, run: str) -> bool:
    return any(event["run_id"] == run for event in watcher.events("run.completed"))


async def invite(people: dict[str, httpx2.AsyncClient], thread: str) -> None:
    """The owner makes a link for each role; each comes in by theirs."""
    for role in ("editor", "viewer"):
        made = await people["owner"].post(f"/v1/threads/{thread}/invitations", json={"role": role})
        assert made.status_code == 201, made.text
        joined = await people[role].post("/v1/invitations/accept", json={"token": made.json()["token"]})
        assert joined.json()["role"] == role, joined.text


async def leave(watcher: Watcher, watched_by: httpx2.AsyncClient, thread: str, user: str) -> str:
    """Close somebody's stream, until nobody thinks that they are there; their cursor."""
    watcher.task.cancel()
    await asyncio.gather(watcher.task, return_exceptions=True)

    async def gone() -> bool:
        found = (await watched_by.get(f"/v1/threads/{thread}/presence")).json()["items"]
        return user not in {item["user_id"] for item in found}

    await until(gone, "nobody of that name")
    return [frame.id for frame in watcher.seen if frame.id][-1]


async def test_one_conversation_live_for_three_people_two_devices_and_a_service(
    mesh: Mesh,
    people: dict[str, httpx2.AsyncClient],
    admin: httpx2.AsyncClient,  # noqa: F811 - the fixture
    receiver: Server,  # noqa: F811 - the fixture
) -> None:
    owner, editor, viewer = people["owner"], people["editor"], people["viewer"]
    hook = await subscribe(admin, f"{receiver.base}/hook", *TOLD)
    thread = await create_thread(owner, title="Scene", model="openai:gpt-4o-mini")
    await invite(people, thread)
    path = f"/v1/threads/{thread}/events"
    watchers = {name: Watcher(client, path) for name, client in people.items()}
    everybody = list(watchers.values())
    watchers["noted"] = Watcher(viewer, "/v1/me/events")
    try:
        with chatting(mesh, thread) as phone, chatting(mesh, thread) as laptop:
            for watcher in watchers.values():
                await asyncio.wait_for(watcher.attached.wait(), 15)
            for device in (phone, laptop):
                # Both devices, and the two others, know of each other.
                await shows(device, "2 watching with you")
            assert (await viewer.post(f"/v1/threads/{thread}/read")).status_code == 200

            # The owner asks, on one device.
            phone.enter(ASKED)
            for watcher in everybody:
                await watcher.until("text", lambda watcher=watcher: len(watcher.events("text.delta")) > 3)
            first = watchers["owner"].events("text.delta")[0]["run_id"]

            # The viewer may watch, and nothing else; the editor says a word that the answer takes up.
            for verb, body in (("steer", {"content": "stop"}), ("cancel", {})):
                refused = await viewer.post(f"/v1/runs/{first}/{verb}", json=body)
                assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), refused.text
            refused = await viewer.post(f"/v1/threads/{thread}/messages", json={"content": "me too"})
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden"), refused.text
            steered = await editor.post(f"/v1/runs/{first}/steer", json={"content": STEERED})
            assert steered.status_code == 202, steered.text
            for watcher in everybody:
                await watcher.until("the end", lambda watcher=watcher: ended(watcher, first))
            said = expected_text(ASKED) + expected_text(STEERED)
            answer = await stored_answer(viewer, thread, first)
            assert answer["content"] == said
            seen = {name: text_of(of_run(watcher.seen, first)) for name, watcher in zip(people, everybody, strict=True)}
            assert seen == dict.fromkeys(people, said)
            for device in (phone, laptop):
                await shows(device, expected_text(STEERED))

            # The viewer goes, once the feed has noted that the viewer saw it all; the editor asks on.
            await watchers["noted"].until("the feed", lambda: ended(watchers["noted"], first))
            vik = await me(viewer)
            cursor = await leave(watchers["viewer"], owner, thread, vik)
            unread = (await viewer.get("/v1/me/unread")).json()
            assert unread["total"] == 0, unread
            second = (await send(editor, thread, NEXT))["run_id"]
            for name in ("owner", "editor"):
                await watchers[name].until("the end", lambda name=name: ended(watchers[name], second))
                assert text_of(of_run(watchers[name].seen, second)) == expected_text(NEXT)
            for device in (phone, laptop):
                await shows(device, expected_text(NEXT))
                await asyncio.to_thread(device.until, "\nready |", 30)
                answers, questions = told_apart(device.lines())
                assert questions == [ASKED, STEERED, NEXT], device.text()
                assert answers == squeezed(said + expected_text(NEXT)), device.text()

        # Who was away finds it: counted, in the feed, and on the thread where they left it.
        async def counted() -> bool:
            items = (await viewer.get("/v1/me/unread")).json()["items"]
            return {item["thread_id"]: item["unread"] for item in items} == {thread: 2}

        await until(counted, "two unread entries")
        feed = Watcher(viewer, f"/v1/me/events?cursor={unread['cursor']}")
        back = Watcher(viewer, f"{path}?cursor={cursor}")
        watchers |= {"feed": feed, "back": back}
        await feed.until("the feed", lambda: bool(feed.events("run.completed")))
        waiting = [(frame.event, frame.json["run_id"]) for frame in feed.seen if frame.json.get("unread")]
        assert waiting == [("message.accepted", second), ("run.completed", second)]
        await back.until("the end", lambda: ended(back, second))
        assert text_of(of_run(back.seen, second)) == expected_text(NEXT)
        assert of_run(back.seen, first) == []

        # The service was told of each once, under one id.
        wanted = sorted(["thread.shared"] * 2 + ["message.accepted"] * 3 + ["run.completed"] * 2)

        def told() -> list[tuple[str, str]]:
            return events_of(receiver, "hook")

        await until(lambda: len(told()) >= len(wanted), "the webhook")
        assert sorted(kind for kind, _ in told()) == wanted
        assert len({event for _, event in told()}) == len(wanted)
        for got in receiver.got["hook"]:
            event = Verifier(hook["secret"]).verify(got.body, got.headers)
            assert event["data"]["thread_id"] == thread
    finally:
        for watcher in watchers.values():
            watcher.task.cancel()
        await asyncio.gather(*(watcher.task for watcher in watchers.values()), return_exceptions=True)
