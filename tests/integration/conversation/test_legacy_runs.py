"""Runs of the legacy path: their command goes to the caller and to nobody else, their end comes by a call."""

import asyncio
from datetime import UTC, datetime, timedelta

import grpc
import msgspec
import pytest
from contracts import events as e
from contracts.codes import Code
from contracts.commands import ExecuteRun
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.times import rfc3339
from contracts.usage import Usage
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of

from tests.integration.conversation.replica import ALICE, Service, until


def ended(thread: str, accepted: pb.AcceptMessageResponse, *, text: str = "Rome.") -> bytes:
    """The final snapshot of a short answer."""
    state = RunState(run_id=accepted.run_id, thread_id=thread)
    head = {"thread_id": thread, "run_id": accepted.run_id, "attempt": 1, "at": "2026-01-01T00:00:00.000Z"}
    usage = Usage(input_tokens=7, output_tokens=2)
    message = {"message_id": accepted.assistant_message_id}
    kinds: list[tuple[type[e.RunEvent], dict[str, object]]] = [
        (e.RunStarted, {**message, "model": "embedded:smollm2-135m", "path": "legacy_sync"}),
        (e.TextDelta, {"part": 0, "delta": text}),
        (
            e.UsageReported,
            {"step": 1, "of_attempt": 1, "model": "embedded:smollm2-135m", "usage": usage, "cost_microusd": 3},
        ),
        (e.RunCompleted, {**message, "usage": usage, "cost_microusd": 3}),
    ]
    for sequence, (kind, fields) in enumerate(kinds, 1):
        state.apply(kind(**head, sequence=sequence, **fields))  # type: ignore[arg-type]  # the fields of four kinds
    return encode_snapshot(Snapshot(state=state, stream_sequence=0))


async def test_the_command_of_a_legacy_run_goes_to_the_caller_and_to_nobody_else(service: Service) -> None:
    thread = await service.thread()
    accepted = await service.accept(thread, "hi", path="legacy_sync", idempotency_key="k")
    command = msgspec.json.decode(accepted.command, type=ExecuteRun)
    assert (command.run_id, command.message_id, command.path) == (
        accepted.run_id,
        accepted.assistant_message_id,
        "legacy_sync",
    )
    durable = await service.accept(await service.thread(), "hi again")
    assert durable.command == b""
    await until(lambda: len(service.published("COMMANDS")) == 1)
    assert service.published("COMMANDS")[0][0] == f"cmd.run.{durable.run_id}.execute"
    # Whoever asks again has not started it: it runs once.
    again = await service.accept(thread, "hi", path="legacy_sync", idempotency_key="k")
    assert (again.run_id, again.repeated_request, again.command) == (accepted.run_id, True, b"")


async def test_the_end_of_a_legacy_run_is_recorded_once(service: Service) -> None:
    thread = await service.thread()
    accepted = await service.accept(thread, "What is the capital of Italy?", path="legacy_sync")
    for _ in range(2):
        await service.stub.RecordRun(pb.RecordRunRequest(snapshot=ended(thread, accepted)))
    # An end is final, on this path too.
    await service.stub.RecordRun(pb.RecordRunRequest(snapshot=ended(thread, accepted, text="Paris.")))
    found = await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=accepted.run_id))
    assert (found.run.status, found.run.path, found.message.content) == ("complete", "legacy_sync", "Rome.")
    assert len(await service.rows("ledger")) == 1
    facts = [subject for subject, _ in service.published("THREADS") if subject.endswith("run.ended")]
    assert len(facts) == 1


async def test_what_is_no_snapshot_is_refused(service: Service) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.RecordRun(pb.RecordRunRequest(snapshot=b"{}"))
    assert code_of(caught.value)[0] is Code.BODY_INVALID


async def test_results_of_both_paths_since_a_moment(service: Service) -> None:
    thread = await service.thread()
    early = await service.accept(thread, "before", path="legacy_sync")
    await service.stub.RecordRun(pb.RecordRunRequest(snapshot=ended(thread, early)))
    since = rfc3339(datetime.now(UTC) + timedelta(milliseconds=2))
    await asyncio.sleep(0.01)
    legacy = await service.accept(thread, "one", path="legacy_sync")
    await service.accept(thread, "two")
    await service.stub.RecordRun(pb.RecordRunRequest(snapshot=ended(thread, legacy)))
    found = await service.stub.ListRunResults(pb.ListRunResultsRequest(since=since, limit=10))
    assert [(item.path, item.status, item.cost_microusd) for item in found.items] == [
        ("legacy_sync", "complete", 3),
        ("durable_event", "pending", 0),
    ]
    assert found.items[0].HasField("first_text_ms")
    assert found.items[0].HasField("duration_ms")
    assert not found.items[1].HasField("duration_ms")
    everything = await service.stub.ListRunResults(pb.ListRunResultsRequest(since="2020-01-01T00:00:00Z", limit=1))
    assert [item.path for item in everything.items] == ["legacy_sync", "durable_event"]
