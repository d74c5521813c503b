"""Five faults made on purpose, and what an operator sees who has only a run's id, the metrics and the runbooks.

`task faults` starts a mesh of its own on loopback, makes each fault, writes down what the places that its runbook names show,
undoes it, and checks that the mesh is whole again. It takes about two minutes and ends by itself.
"""

import asyncio
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from rich.console import Console

from tests import mesh as mesh_module
from tests.exposition import Sample, scrape
from tests.mesh import Mesh, create_thread, send, stored_answer
from tests.upstream import UpstreamProcess

MODELS = """
[providers.openai]
base_url_env = "OPENAI_BASE_URL"
[models."openai:gpt-4o-mini"]
upstream_name = "gpt-4o-mini"
context_window = 128000
input = 0.15
output = 0.60
continuation = "retract"
"""

console = Console(width=150, highlight=False)


class Operator:
    """What somebody on call has: the commands, the metrics of every process, the admin's way to the broker."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.page: list[str] = []

    def say(self, text: str) -> None:
        """A line for the terminal and the page."""
        console.print(text, markup=False)
        self.page.append(text)

    def section(self, title: str, runbook: str, fault: str) -> None:
        """One fault."""
        self.say(f"\n## {title}\n\nFault: {fault} Runbook: [{runbook}](runbooks/{runbook}.md).\n")

    def shows(self, where: str, lines: Sequence[str]) -> None:
        """What one place that the runbook names shows."""
        self.say(f"{where}:\n\n```\n" + "\n".join(lines) + "\n```\n")

    def finds(self, cause: str) -> None:
        """The cause, and that it is gone."""
        self.say(f"So: {cause}")

    def trace(self, run_id: str) -> list[str]:
        """`everthread trace RUN`."""
        return self.mesh.command("trace", run_id).stdout.rstrip().splitlines()

    async def metrics(self, *names: str) -> list[Sample]:
        """Samples of all processes with one of these names, those that are 0 left out."""
        found: list[Sample] = []
        for name, port in self.mesh.health_ports().items():
            # The embedded servers have no number in their name and no such page.
            if "-" in name:
                found += await scrape(port)
        return [sample for sample in found if sample.name in names and sample.value]

    async def counted(self, *names: str, **labels: str) -> list[str]:
        """The same as lines, sums over the processes."""
        sums: dict[str, float] = {}
        for sample in await self.metrics(*names):
            if all(sample.labels.get(name) == value for name, value in labels.items()):
                shown = ", ".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
                key = f"{sample.name}{{{shown}}}"
                sums[key] = sums.get(key, 0) + sample.value
        return [f"{key} {value:g}" for key, value in sorted(sums.items())]

    async def broker(self) -> Client:
        """A connection as the broker's administrator."""
        url = self.mesh.command("nats-url", "--user", "admin").stdout.strip()
        return await nats.connect(url, inbox_prefix="_INBOX_admin")


async def slow_upstream(operator: Operator, client: Any) -> None:
    """The provider takes four seconds for its first word."""
    operator.section("A slow provider", "provider-slow", "the upstream waits 4 s before its first token.")
    thread = await create_thread(client)
    accepted = await send(client, thread, "tokens=20 delay=4")
    await stored_answer(client, thread, accepted["run_id"])
    operator.shows(
        f"`everthread trace {accepted['run_id']}`", await asyncio.to_thread(operator.trace, accepted["run_id"])
    )
    added = await operator.counted(
        "everthread_first_token_added_seconds_sum", "everthread_first_token_added_seconds_count"
    )
    first = await operator.counted(
        "gen_ai_client_operation_time_to_first_chunk_seconds_sum",
        "gen_ai_client_operation_time_to_first_chunk_seconds_count",
    )
    operator.shows("The provider's time to its first piece, and what the mesh adds", [*first, *added])
    timeline = (await client.get(f"/v1/runs/{accepted['run_id']}/timeline")).json()
    took = {phase["name"]: phase["took_ms"] for phase in timeline["phases"]}
    assert took["first_token"] > 3500 > sum(value for name, value in took.items() if name != "first_token")
    operator.finds(
        f"{took['first_token']} ms lie between asking the model and its first text, and nowhere else: the provider."
    )


async def dead_worker(operator: Operator, client: Any) -> None:
    """The worker that answers is killed."""
    operator.section("A dead worker", "takeovers", "`kill -9` of the worker in the middle of an answer.")
    thread = await create_thread(client)
    accepted = await send(client, thread, "tokens=300 rate=50")
    await asyncio.sleep(1.5)
    worker = (await client.get(f"/v1/runs/{accepted['run_id']}/state")).json()["worker"]
    victim = next(name for name in await asyncio.to_thread(operator.mesh.ps) if worker.startswith(name))
    killed = operator.mesh.signal(victim, signal.SIGKILL)
    answer = await stored_answer(client, thread, accepted["run_id"])
    await operator.mesh.wait_ready(changed={victim: killed})
    operator.shows(
        f"`everthread trace {accepted['run_id']}`", await asyncio.to_thread(operator.trace, accepted["run_id"])
    )
    operator.shows("Takeovers", await operator.counted("everthread_takeovers_total"))
    said = [
        line for line in (operator.mesh.home / "up.out").read_text("utf-8").splitlines() if f"{victim} ended" in line
    ]
    operator.shows("What `everthread up` says", said)
    assert answer["status"] == "complete"
    assert said
    operator.finds(f"{victim} died by a signal, the other worker took the run over, and the answer is whole.")


async def full_stream(operator: Operator, client: Any) -> None:
    """RUNS has no room left."""
    operator.section("A full stream", "stream-full", "the limit of RUNS is set to what it holds.")
    broker = await operator.broker()
    stream = broker.jetstream()
    limit = (await stream.stream_info("RUNS")).config.max_bytes or -1
    used = (await stream.stream_info("RUNS")).state.bytes
    await _limit(broker, used + 2_000)
    thread = await create_thread(client)
    accepted = await send(client, thread, "tokens=2000 rate=2000")
    run = await _until_ended(client, accepted["run_id"], within=20)
    operator.shows(
        f"`GET /v1/runs/{accepted['run_id']}`",
        [json.dumps({name: run[name] for name in ("status", "error")}, indent=1)],
    )
    operator.shows("Appends refused as full", await operator.counted("everthread_stream_full_total"))
    fill = await operator.counted("everthread_stream_bytes", "everthread_stream_limit_bytes", stream="RUNS")
    operator.shows("How full", fill)
    assert await operator.metrics("everthread_stream_full_total")
    await _limit(broker, limit)
    again = await send(client, await create_thread(client), "tokens=20")
    assert (await _until_ended(client, again["run_id"], within=30))["status"] == "complete"
    await broker.close()
    operator.finds(
        "RUNS is at its limit. Raised again, the next message is answered, and every run has come to an end:"
    )
    ended = await _until_ended(client, accepted["run_id"], within=60)
    operator.say(f"the one that was refused says `{ended['status']}`, `{(ended['error'] or {}).get('code')}`.")


async def slow_database(operator: Operator, client: Any) -> None:
    """MongoDB is stopped and let go again and again."""
    operator.section("A slow database", "slow-database", "the database is stopped for a second, again and again.")
    thread = await create_thread(client)
    pid = operator.mesh.pid("mongo")
    stopping = asyncio.create_task(_hold_up(pid))
    try:
        for _ in range(4):
            await send(client, await create_thread(client), "tokens=5")
        began = time.perf_counter()
        accepted = await send(client, thread, "tokens=200 rate=100")
        took = time.perf_counter() - began
        state = (await client.get(f"/v1/runs/{accepted['run_id']}/state")).json()
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        os.kill(pid, signal.SIGCONT)
    await stored_answer(client, thread, accepted["run_id"])
    operator.shows(
        f"`everthread trace {accepted['run_id']}`", await asyncio.to_thread(operator.trace, accepted["run_id"])
    )
    slow = await _slow_commands(operator)
    operator.shows("Commands that took longer than 250 ms, by command", slow)
    assert slow
    assert state["run_id"] == accepted["run_id"]
    operator.finds(f"accepting took {took:.1f} s, all of it in MongoDB's commands; the model's text was not held up.")


async def poisoned_message(operator: Operator, client: Any) -> None:
    """Something unreadable is put where commands are."""
    operator.section("A poisoned message", "dead-letters", "bytes that are no command are published to COMMANDS.")
    broker = await operator.broker()
    await broker.jetstream().publish("cmd.run.run_00000000000000000000000000.execute", b"\xff not a command")
    accepted = await send(client, await create_thread(client), "tokens=20")
    run = await _until_ended(client, accepted["run_id"], within=20)
    letters: list[str] = []
    for _ in range(50):
        letters = (await asyncio.to_thread(operator.mesh.command, "dead-letters")).stdout.rstrip().splitlines()
        if any("not a command" in line for line in letters):
            break
        await asyncio.sleep(0.2)
    await broker.close()
    operator.shows("`everthread dead-letters`", letters)
    operator.shows("Counted", await operator.counted("everthread_dead_letters_total"))
    assert run["status"] == "complete", "the queue goes on"
    assert any("not a command" in line for line in letters), letters
    operator.finds("somebody wrote what no version reads; it is set aside with the reason, and the queue went on.")


async def _limit(broker: Client, size: int) -> None:
    reply = await broker.request("$JS.API.STREAM.INFO.RUNS", b"", timeout=5)
    config = json.loads(reply.data)["config"] | {"max_bytes": size}
    reply = await broker.request("$JS.API.STREAM.UPDATE.RUNS", json.dumps(config).encode(), timeout=5)
    assert "error" not in json.loads(reply.data), reply.data


async def _until_ended(client: Any, run_id: str, within: float) -> dict[str, Any]:
    run: dict[str, Any] = {}
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        run = (await client.get(f"/v1/runs/{run_id}")).json()
        if run["status"] in ("complete", "error", "cancelled"):
            return run
        await asyncio.sleep(0.2)
    return run


async def _hold_up(pid: int) -> None:
    while True:
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(1)
        os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.2)


async def _slow_commands(operator: Operator) -> list[str]:
    counts: dict[str, dict[str, float]] = {}
    for sample in await operator.metrics("everthread_mongodb_command_duration_seconds_bucket"):
        entry = counts.setdefault(sample.labels.get("command", ""), {})
        entry[sample.labels["le"]] = entry.get(sample.labels["le"], 0) + sample.value
    lines = []
    for command, buckets in sorted(counts.items()):
        quick = max((value for bound, value in buckets.items() if float(bound) <= 0.25), default=0.0)
        if buckets.get("+Inf", 0) > quick:
            lines.append(f"{command}: {buckets['+Inf'] - quick:g} of {buckets['+Inf']:g}")
    return lines


async def _walk(operator: Operator) -> None:
    async with operator.mesh.client() as client:
        for fault in (slow_upstream, dead_worker, full_stream, slow_database, poisoned_message):
            await fault(operator, client)
            await operator.mesh.wait_ready()


def main() -> None:
    """Walk through all five and write docs/faults.md."""
    head = [
        "# Five faults, found by their runbooks",
        "",
        "Written by `task faults` (`tests/load/faults.py`): each fault is made on purpose on a mesh of its own; below is what the",
        "places that the runbook names showed, and the cause that follows from them.",
    ]
    with tempfile.TemporaryDirectory() as scratch, UpstreamProcess() as upstream:
        home = Path(scratch)
        (home / "models.toml").write_text(MODELS, "utf-8")
        mesh = mesh_module.start(
            home,
            scale="inference=2",
            environment={
                "OPENAI_BASE_URL": upstream.base_url,
                "OPENAI_API_KEY": "none",
                "EVERTHREAD_MODELS_FILE": str(home / "models.toml"),
            },
        )
        operator = Operator(mesh)
        try:
            asyncio.run(_walk(operator))
        finally:
            mesh.stop()
    page = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
    text = "\n".join([*head, *operator.page]).replace(str(home), "HOME")
    page.write_text(re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n", "utf-8")
    console.print(f"written: {page.name}")


if __name__ == "__main__":
    main()
