"""Traces of a real process: they arrive with their resource and parent, and a collector that is away changes nothing."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.otlp_receiver import OtlpReceiver

PROGRAM = """
import asyncio, sys, structlog
from runtime import telemetry
from runtime.process import Process, run
from runtime.settings import ServiceSettings, load_settings
log = structlog.get_logger()
async def main(process: Process) -> None:
    with telemetry.under({"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}):
        for number in range(300):
            with telemetry.tracer("demo").start_as_current_span("work", attributes={"number": number}):
                headers = telemetry.inject()
                log.info("worked", headers_match=headers["traceparent"].split("-")[1] == "ab" * 16)
                await asyncio.sleep(0)
    log.info("done", sdk="opentelemetry.sdk" in sys.modules, requests="requests" in sys.modules)
run("demo", load_settings(ServiceSettings), main)
"""


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as started:
        yield started


def run_program(tmp_path: Path, endpoint: str | None, program: str = PROGRAM) -> tuple[list[dict[str, object]], float]:
    """What it logged, and the seconds from its last line of work to its end."""
    script = tmp_path / "program.py"
    script.write_text(program)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("EVERTHREAD_", "OTEL_"))}
    environment |= {"NATS_URL": "nats://127.0.0.1:1", "EVERTHREAD_INSTANCE": "demo-7"}
    if endpoint is not None:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    process = subprocess.Popen(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        lines, stopped_at = [], 0.0
        for line in process.stdout:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "process.stopped":
                stopped_at = time.monotonic()
        errors = process.stderr.read()
    assert process.wait(timeout=30) == 0, errors
    assert errors == ""
    return lines, time.monotonic() - stopped_at


def test_spans_arrive_whole(tmp_path: Path, receiver: OtlpReceiver) -> None:
    lines, _ = run_program(tmp_path, receiver.endpoint)
    spans = receiver.wait_for(300)
    assert len(spans) == 300
    assert {(span.service, span.instance, span.name) for span in spans} == {("everthread-demo", "demo-7", "work")}
    assert {(span.trace_id, span.parent_span_id) for span in spans} == {("ab" * 16, "cd" * 8)}
    assert sorted(span.attributes["number"] for span in spans) == list(range(300))
    worked = [line for line in lines if line["event"] == "worked"]
    assert all(line["headers_match"] for line in worked)
    assert {line["trace_id"] for line in worked} == {"ab" * 16}
    assert {line["span_id"] for line in worked} == {span.span_id for span in spans}


def test_without_an_endpoint_the_sdk_is_not_even_loaded(tmp_path: Path) -> None:
    lines, _ = run_program(tmp_path, None)
    (done,) = (line for line in lines if line["event"] == "done")
    assert done["sdk"] is False
    assert done["requests"] is False
    # The caller's trace goes on through a process that records nothing itself.
    assert {line["trace_id"] for line in lines if line["event"] == "worked"} == {"ab" * 16}


CALLS = """
import asyncio, grpc, structlog
from contracts.codes import Code
from rpc.v1 import conversation_pb2 as pb, conversation_pb2_grpc as pb_grpc
from runtime import telemetry
from runtime.process import Process, run
from runtime.rpc import Server, abort, connect
from runtime.settings import ServiceSettings, load_settings
class Conversation(pb_grpc.ConversationServiceServicer):
    async def GetThread(self, request, context):
        if request.thread_id == "missing":
            await abort(context, grpc.StatusCode.NOT_FOUND, Code.THREAD_NOT_FOUND, "There is no such thread.")
        if request.thread_id == "bug":
            raise RuntimeError("canary")
        with telemetry.tracer("demo").start_as_current_span("inside"):
            return pb.GetThreadResponse()
async def main(process: Process) -> None:
    server = Server()
    pb_grpc.add_ConversationServiceServicer_to_server(Conversation(), server.grpc)
    port = await server.start("127.0.0.1", 0)
    async with connect(f"127.0.0.1:{port}") as channel:
        stub = pb_grpc.ConversationServiceStub(channel)
        for thread in ("any", "missing", "bug"):
            with telemetry.tracer("demo").start_as_current_span(thread):
                try:
                    await stub.GetThread(pb.GetThreadRequest(thread_id=thread))
                except grpc.aio.AioRpcError:
                    pass
    await server.stop(1)
run("demo", load_settings(ServiceSettings), main)
"""


def test_a_grpc_call_is_one_chain_of_spans(tmp_path: Path, receiver: OtlpReceiver) -> None:
    run_program(tmp_path, receiver.endpoint, CALLS)
    spans = receiver.wait_for(10)
    assert len(spans) == 10
    by_trace = {span.trace_id: [other for other in spans if other.trace_id == span.trace_id] for span in spans}
    seen = {}
    for trace in by_trace.values():
        (root,) = (span for span in trace if not span.parent_span_id)
        (client,) = (span for span in trace if span.kind == "CLIENT")
        (server,) = (span for span in trace if span.kind == "SERVER")
        assert client.parent_span_id == root.span_id
        assert server.parent_span_id == client.span_id
        assert client.name == server.name == "everthread.v1.ConversationService/GetThread"
        seen[root.name] = (client.attributes["rpc.response.status_code"], client.status, server.status)
        assert {span.parent_span_id for span in trace if span.name == "inside"} <= {server.span_id}
    # Refusing a wrong request is no failure of the server; for its caller it is an error.
    assert seen == {
        "any": ("OK", "UNSET", "UNSET"),
        "missing": ("NOT_FOUND", "ERROR", "UNSET"),
        "bug": ("INTERNAL", "ERROR", "ERROR"),
    }
    assert b"canary" not in receiver.bodies()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """Accepts connections (the kernel does) and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("endpoint", ["black_hole", "nobody"])
def test_a_collector_that_is_away_changes_nothing(
    tmp_path: Path, endpoint: str, request: pytest.FixtureRequest
) -> None:
    lines, ending = run_program(tmp_path, request.getfixturevalue(endpoint))
    assert [line["event"] for line in lines].count("worked") == 300
    assert lines[-1]["event"] in {"process.stopped"} or lines[-1]["level"] == "error"
    # The obligation is two seconds; the rest is the interpreter's own end on a busy machine.
    assert ending < 5
