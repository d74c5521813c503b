"""What the processes of a mesh show at /metrics after an answer, a takeover, a failure and a dead letter is what the catalogue
says, both ways: nothing is shown that it does not have, and nothing is in it that is never shown."""

import asyncio
import json
import re
import signal
import time

from bus.jetstream import connect
from contracts.ids import RUN, new_id
from contracts.subjects import execute_subject
from runtime.names import PROCESS_SAMPLES, Metric, metric_of

from tests.exposition import Sample, scrape
from tests.mesh import Mesh, create_thread, send, stored_answer, to_the_end, writing
from tests.otlp_receiver import OtlpReceiver

NEEDS_A_CLUSTER = {Metric.STREAM_REPLICA_LAG}
ANY_ID = re.compile(r"[a-z]{3}_[0-9A-HJKMNP-TV-Z]{26}")
Shown = dict[str, list[Sample]]


async def _scrape_all(mesh: Mesh) -> Shown:
    ports = {name: port for name, port in mesh.health_ports().items() if "-" in name}
    return {name: await scrape(port) for name, port in ports.items()}


def _service(name: str) -> str:
    return name.rpartition("-")[0]


def _total(shown: Shown, metric: Metric, **labels: str) -> float:
    sample = metric.value.samples[-1]
    found = [s for samples in shown.values() for s in samples if s.name == sample]
    return sum(s.value for s in found if labels.items() <= s.labels.items())


async def _poison(mesh: Mesh) -> None:
    """A command that nobody can read."""
    password = json.loads((mesh.home / "secrets.json").read_text("utf-8"))["admin"]
    bus = await connect(f"nats://admin:{password}@127.0.0.1:{mesh.ps()['nats']['port']}", instance="test")
    try:
        await bus.publish(execute_subject(new_id(RUN)), b"no command", message_id=new_id(RUN))
    finally:
        await bus.drain()


async def _make_everything_happen(mesh: Mesh) -> None:
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=30 rate=100")
        await to_the_end(client, accepted["run_id"])
        taken_over = await send(client, await create_thread(client), "tokens=100 rate=50")
        victim = await writing(mesh, client, taken_over["run_id"])
        killed = {victim: mesh.signal(victim, signal.SIGKILL)}
        await _poison(mesh)
        await stored_answer(client, thread, accepted["run_id"])
        await mesh.wait_ready(changed=killed)
        # Last: a worker takes what it has counted with it.
        failing = await send(client, await create_thread(client), "tokens=5 status=400")
        await to_the_end(client, failing["run_id"])


async def test_a_scrape_and_the_catalogue_agree_both_ways(mesh: Mesh) -> None:
    await _make_everything_happen(mesh)
    deadline = time.monotonic() + 20
    while True:
        shown = await _scrape_all(mesh)
        missing = _missing(shown)
        if not missing or time.monotonic() > deadline:
            break
        await asyncio.sleep(1)
    assert not missing, f"in the catalogue, shown by nobody: {missing}"
    for name, samples in shown.items():
        for sample in samples:
            metric = metric_of(sample.name)
            if metric is None:
                assert sample.name in PROCESS_SAMPLES, f"{name} shows {sample.name}, which the catalogue does not have"
                continue
            assert _service(name) in metric.value.services, f"{name} shows {sample.name}: not by the catalogue"
            assert set(sample.labels) - {"le"} == set(metric.value.labels), sample
            assert not any(ANY_ID.search(value) for value in sample.labels.values()), f"an id as a label: {sample}"


def _missing(shown: Shown) -> list[str]:
    """What a catalogue that is kept to leaves empty: each metric from one process at least; where its labels are known
    from the start, from every process of its services."""
    missing = []
    for metric in set(Metric) - NEEDS_A_CLUSTER:
        what = metric.value
        by = {
            name: {sample.name for sample in samples} >= set(what.samples)
            for name, samples in shown.items()
            if _service(name) in what.services
        }
        enough = all(by.values()) if what.known or not what.labels else any(by.values())
        if not by or not enough:
            missing.append(f"{what.name} by {[name for name, shows in by.items() if not shows]}")
    return missing


async def _ended_since(mesh: Mesh, before: Shown, path: str) -> Shown:
    """The figures once one more run of the path is in the database: an answer shows as complete before that, from its log, and
    conversation counts it after that."""
    deadline = time.monotonic() + 20
    while True:
        after = await _scrape_all(mesh)
        counted = (Metric.RUNS_ENDED, Metric.RUN_SECONDS)
        if all(_total(after, metric, path=path) > _total(before, metric, path=path) for metric in counted):
            return after
        assert time.monotonic() < deadline, "conversation has not counted the run"
        await asyncio.sleep(0.1)


async def _quiet(mesh: Mesh) -> Shown:
    """The figures once the runs of tests before this one have been recorded."""
    before = await _scrape_all(mesh)
    while True:
        await asyncio.sleep(2)
        after = await _scrape_all(mesh)
        if all(_total(before, metric) == _total(after, metric) for metric in (Metric.RUNS_ENDED, Metric.TOKENS)):
            return after
        before = after


async def test_the_figures_are_true(mesh: Mesh) -> None:
    before = await _quiet(mesh)
    async with mesh.client() as client:
        thread = await create_thread(client)
        accepted = await send(client, thread, "tokens=25 rate=100")
        await to_the_end(client, accepted["run_id"])
        message = await stored_answer(client, thread, accepted["run_id"])
    after = await _ended_since(mesh, before, "durable_event")

    def grew(metric: Metric, **labels: str) -> float:
        return _total(after, metric, **labels) - _total(before, metric, **labels)

    assert grew(Metric.ACCEPTED, path="durable_event") == 1
    assert grew(Metric.RUNS_ENDED, path="durable_event", status="complete", code="") == 1
    assert grew(Metric.RUN_SECONDS, path="durable_event", status="complete") == 1
    assert grew(Metric.TOKENS, kind="output") == message["usage"]["output_tokens"] == 25
    assert grew(Metric.COST) == message["cost_microusd"]
    assert grew(Metric.ATTEMPTS) == 1
    assert grew(Metric.TAKEOVERS) == 0
    assert grew(Metric.FIRST_TOKEN_ADDED) == 1
    assert grew(Metric.FIRST_TOKEN_EDGE) <= 1  # not where the first text came before the viewer
    assert grew(Metric.GAPS_SHOWN) == 0
    assert _total(after, Metric.GAPS_SHOWN) == 0
    route = {"route": "/v1/threads/{thread_id}/messages", "method": "POST", "path": "durable_event", "status": "202"}
    assert grew(Metric.HTTP_SECONDS, **route) == 1


async def test_an_exemplar_leads_to_its_trace(mesh: Mesh, otlp: OtlpReceiver) -> None:
    async with mesh.client() as client:
        accepted = await send(client, await create_thread(client), "tokens=3")
        await to_the_end(client, accepted["run_id"])
    shown = await _scrape_all(mesh)
    name = Metric.HTTP_SECONDS.value.samples[0]
    traces = {s.exemplar for samples in shown.values() for s in samples if s.name == name and s.exemplar}
    assert traces
    deadline = time.monotonic() + 20
    while not traces <= (received := {span.trace_id for span in otlp.spans()}) and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
    assert traces <= received
