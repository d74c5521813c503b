"""Waits, steers, queues, branches and messages for later on the whole mesh, with its processes killed meanwhile."""

import asyncio
import os
import pty
import select
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from contracts.times import rfc3339

from tests.mesh import COMMAND, Mesh, create_thread, send, stored_answer, to_the_end
from tests.upstream import expected_text

ASKS = 'call=ask_user:{"question":"Which_one?","options":["Rome","Paris"]} then tokens=5'
TOOLS = {"model": "openai:scripted-tools", "agent": "researcher"}


async def until_waiting(client: httpx2.AsyncClient, run_id: str, within: float = 30) -> dict[str, Any]:
    """The run as it is shown once it waits."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        run: dict[str, Any] = (await client.get(f"/v1/runs/{run_id}")).json()
        if run["status"] == "waiting":
            return run
        assert run["ended_at"] is None, run
        await asyncio.sleep(0.1)
    raise AssertionError(f"{run_id} does not wait: {run}")


async def test_a_question_outlives_every_process_and_is_answered_once(mesh: Mesh) -> None:
    async with mesh.client() as client, mesh.client(1) as other:
        thread = await create_thread(client)
        accepted = await send(client, thread, ASKS, **TOOLS)
        run_id = accepted["run_id"]
        waits = (await until_waiting(client, run_id))["waiting"]
        assert (waits["reason"], waits["prompt"]) == ("input", "Which_one?")
        names = ("inference-1", "inference-2", "conversation-1", "nats")
        killed = {name: mesh.signal(name, signal.SIGKILL) for name in names if name in mesh.ps()}
        await mesh.wait_ready(changed=killed)
        body = {"value": {"answer": "Rome"}, "wait_id": waits["wait_id"]}
        wrong = await client.post(f"/v1/runs/{run_id}/input", json={"value": {"answer": "Oslo"}})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "input_invalid")
        answers = await asyncio.gather(
            *(
                door.post(f"/v1/runs/{run_id}/input", json={**body, "value": {"answer": city}})
                for door, city in ((client, "Rome"), (other, "Paris"))
            )
        )
        assert sorted(answer.status_code for answer in answers) == [202, 409]
        won = "Rome" if answers[0].status_code == 202 else "Paris"
        seen = await to_the_end(client, run_id)
        assert seen[-1].event == "run.completed"
        assert [frame.event for frame in seen].count("run.waiting") == 1
        answer = await stored_answer(client, thread, run_id)
        called = next(part for part in answer["parts"] if part["type"] == "tool_call")
        assert won in str(called["output"])
        verified: dict[str, Any] = {"equal": None}
        async with asyncio.timeout(20):
            # The answer is shown from the log a moment before it is stored.
            while verified["equal"] is None:
                verified = (await client.get(f"/v1/runs/{run_id}/verify")).json()
                await asyncio.sleep(0.05)
        assert verified["equal"] is True, verified


async def test_messages_queue_join_and_come_later(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        first = await send(client, thread, "tokens=60 rate=40")
        second = await send(client, thread, "tokens=3 seed=2")
        later = await send(client, thread, "tokens=4 seed=3", run_at=rfc3339(datetime.now(UTC) + timedelta(seconds=1)))
        assert (first["queued"], second["queued"], later["queued"]) == (False, True, True)
        for accepted, script in ((first, "tokens=60"), (second, "tokens=3 seed=2"), (later, "tokens=4 seed=3")):
            answer = await stored_answer(client, thread, accepted["run_id"], within=30)
            assert answer["content"] == expected_text(script)
        logs = [(await client.get(f"/v1/runs/{one['run_id']}/log")).json()["items"] for one in (first, second)]
        assert logs[0][-1]["at"] <= logs[1][0]["at"]
        active = (await client.get(f"/v1/threads/{thread}/messages", params={"branch": "active"})).json()["items"]
        assert [message["run_id"] for message in active[1::2]] == [
            first["run_id"],
            second["run_id"],
            later["run_id"],
        ]


async def test_an_interruption_stops_the_answer_and_runs_next(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        first = await send(client, thread, "tokens=5000 rate=20")
        instead = await send(client, thread, "tokens=5", on_busy="interrupt")
        assert (await stored_answer(client, thread, first["run_id"]))["status"] == "cancelled"
        assert (await stored_answer(client, thread, instead["run_id"]))["content"] == expected_text("tokens=5")


async def test_a_steer_that_comes_too_late_is_answered_by_a_run_of_its_own(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        first = await send(client, thread, "tokens=60 rate=40")
        steer = await client.post(f"/v1/runs/{first['run_id']}/steer", json={"content": "tokens=7 seed=9"})
        assert (steer.status_code, steer.json()["steered"]) == (202, True)
        await stored_answer(client, thread, first["run_id"])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            items = (await client.get(f"/v1/threads/{thread}/messages")).json()["items"]
            log = (await client.get(f"/v1/runs/{first['run_id']}/log")).json()["items"]
            joined = any(event["type"] == "run.steered" for event in log)
            if joined or (
                items[-1]["status"] == "complete" and items[-1]["parent_message_id"] == steer.json()["message_id"]
            ):
                return
            await asyncio.sleep(0.2)
        raise AssertionError(items)


def read_until(terminal: int, wanted: str, within: float = 40) -> str:
    """What a terminal shows, up to a text."""
    shown, deadline = b"", time.monotonic() + within
    while wanted.encode() not in shown:
        assert time.monotonic() < deadline, shown.decode(errors="replace")
        if select.select([terminal], [], [], 0.5)[0]:
            shown += os.read(terminal, 4096)
    return shown.decode(errors="replace")


async def test_a_person_at_the_terminal_answers_and_replays(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client, agent="researcher")
    ours, theirs = pty.openpty()
    arguments = [COMMAND, "chat", "--thread", thread, "--home", str(mesh.home), "--once", ASKS]
    chat = subprocess.Popen(
        [*arguments, "--model", "openai:scripted-tools"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=mesh.environment,
        close_fds=True,
    )
    os.close(theirs)
    try:
        shown = await asyncio.to_thread(read_until, ours, "answer> ")
        assert "1 Rome, 2 Paris." in shown
        os.write(ours, b"Oslo\n2\n")
        shown = await asyncio.to_thread(read_until, ours, "USD")
        assert "goes on: input" in shown
        assert await asyncio.to_thread(chat.wait, 20) == 0
    finally:
        chat.kill()
        os.close(ours)
    listed = await asyncio.to_thread(mesh.command, "runs", "--limit", "1")
    run_id = listed.stdout.split()[1]
    replayed = await asyncio.to_thread(mesh.command, "replay", run_id, "--speed", "0")
    tailed = await asyncio.to_thread(mesh.command, "tail", run_id)
    assert (replayed.returncode, replayed.stdout) == (0, expected_text("tokens=5") + "\n")
    assert (tailed.stdout, tailed.stderr) == (replayed.stdout, replayed.stderr)
    assert "[waits for input" in tailed.stderr
    letters = await asyncio.to_thread(mesh.command, "dead-letters")
    assert letters.returncode == 0, letters.stderr
