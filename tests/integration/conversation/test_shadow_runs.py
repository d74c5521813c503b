"""A message that is answered by one path and once more, unseen, by the other: what is begun, what is kept, what nobody sees."""

from datetime import timedelta

import grpc
import msgspec
import pytest
from contracts import events as e
from contracts.codes import Code
from contracts.commands import ExecuteRun
from contracts.ids import new_id
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.subjects import run_subject
from contracts.usage import Usage
from conversation.handlers.record_shadow import clear_shadows
from rpc.v1 import conversation_pb2 as pb
from runtime import metrics
from runtime.names import Metric
from runtime.rpc import code_of

from tests.integration.conversation.replica import ALICE, BOB, Service, until

MODEL = "embedded:smollm2-135m"
SINCE = "2020-01-01T00:00:00.000Z"


def states(run_id: str, thread_id: str, message_id: str, text: str, *, end: type[e.RunEvent]) -> list[RunState]:
    """The states of a run at its first checkpoint and at its end."""
    head = {"thread_id": thread_id, "run_id": run_id, "attempt": 1, "at": "2026-01-01T00:00:00.000Z"}
    usage, message = Usage(input_tokens=7, output_tokens=2), {"message_id": message_id}
    last = {**message, "usage": usage, "cost_microusd": 3}
    last |= {"by": ALICE} if end is e.RunCancelled else {}
    kinds: list[tuple[type[e.RunEvent], dict[str, object]]] = [
        (e.RunStarted, {**message, "model": MODEL, "path": "durable_event"}),
        (e.TextDelta, {"part": 0, "delta": text}),
        (e.UsageReported, {"step": 1, "of_attempt": 1, "model": MODEL, "usage": usage, "cost_microusd": 3}),
        (end, last),
    ]
    state, found = RunState(run_id=run_id, thread_id=thread_id), []
    for sequence, (kind, fields) in enumerate(kinds, 1):
        state.apply(kind(**head, sequence=sequence, **fields))  # type: ignore[arg-type]  # the fields of four kinds
        found.append(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=RunState))
    return [found[1], found[3]]


async def record(service: Service, state: RunState) -> None:
    snapshot = encode_snapshot(Snapshot(state=state, stream_sequence=0))
    await service.stub.RecordRun(pb.RecordRunRequest(snapshot=snapshot))


async def served(
    service: Service, *, text: str = "Rome it is.", end: type[e.RunEvent] = e.RunCompleted
) -> tuple[str, str]:
    """A message whose served answer has ended; its thread and run."""
    thread = await service.thread()
    accepted = await service.accept(thread, "What is the capital of Italy?", path="shadow")
    assert accepted.path == "legacy_sync"
    assert msgspec.json.decode(accepted.command, type=ExecuteRun).path == "legacy_sync"
    for state in states(accepted.run_id, thread, accepted.assistant_message_id, text, end=end)[1:]:
        for _ in range(2):
            await record(service, state)
    return thread, accepted.run_id


async def shadow_command(service: Service) -> ExecuteRun:
    await until(lambda: len(service.published("COMMANDS")) == 1)
    subject, data = service.published("COMMANDS")[0]
    command = msgspec.json.decode(data, type=ExecuteRun)
    assert subject == f"cmd.run.{command.run_id}.execute"
    return command


async def pairs(service: Service) -> list[pb.ShadowPair]:
    return list((await service.stub.ListShadows(pb.ListShadowsRequest(since=SINCE, limit=10))).items)


async def test_a_shadow_is_begun_once_when_its_run_has_ended_and_gets_the_same_input_and_the_record(
    service: Service,
) -> None:
    thread, run_id = await served(service)
    command = await shadow_command(service)
    assert (command.shadow_of, command.path, command.user_id) == (run_id, "durable_event", ALICE)
    assert command.thread_id != thread
    first = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=run_id))
    again = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=command.run_id))
    assert list(again.messages) == list(first.messages)
    assert (first.recorded_parts_json, again.model) == (b"", first.model)
    assert msgspec.json.decode(again.recorded_parts_json)[0]["text"] == "Rome it is."


async def test_a_shadow_is_in_no_list_no_feed_no_ledger_and_no_result(service: Service) -> None:
    thread, run_id = await served(service)
    facts = service.published("THREADS")
    command = await shadow_command(service)
    checkpoint, ended = states(command.run_id, command.thread_id, command.message_id, "Rome is.", end=e.RunCompleted)
    for state in (checkpoint, checkpoint, ended, ended, checkpoint):
        await record(service, state)
    for user in (ALICE, BOB):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.GetRun(pb.GetRunRequest(user_id=user, run_id=command.run_id))
        assert code_of(caught.value)[0] is Code.RUN_NOT_FOUND
    stored = (await service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread, limit=10))).items
    assert [message.content for message in stored] == ["What is the capital of Italy?", "Rome it is."]
    assert [row["run_id"] for row in await service.rows("ledger")] == [run_id]
    assert service.published("THREADS") == facts
    results = await service.stub.ListRunResults(pb.ListRunResultsRequest(since=SINCE, limit=10))
    assert [result.path for result in results.items] == ["legacy_sync"]
    assert not [name for row in await service.rows("shadows") for name in row if name in ("content", "parts")]


async def test_the_pair_tells_how_both_went(service: Service) -> None:
    await served(service, text="Rome it is.")
    command = await shadow_command(service)
    (open_pair,) = await pairs(service)
    assert not open_pair.HasField("similarity")
    for state in states(command.run_id, command.thread_id, command.message_id, "Rome is it.", end=e.RunCompleted):
        await record(service, state)
    (pair,) = await pairs(service)
    assert (pair.served.path, pair.shadow.path) == ("legacy_sync", "durable_event")
    assert (pair.served.status, pair.shadow.status, pair.equal) == ("complete", "complete", False)
    assert 0 < pair.similarity < 1
    assert (pair.shadow.cost_microusd, pair.shadow.output_tokens, pair.shadow.input_tokens) == (3, 2, 7)
    assert pair.shadow.database_operations == pair.served.database_operations + 1


@pytest.mark.parametrize("end", [e.RunCancelled])
async def test_what_was_stopped_has_no_shadow(service: Service, end: type[e.RunEvent]) -> None:
    await served(service, end=end)
    assert await service.rows("shadows") == []
    assert service.published("COMMANDS") == []


async def test_the_log_of_a_shadow_goes_and_its_thread_can_be_deleted_before(service: Service) -> None:
    thread, _ = await served(service)
    command = await shadow_command(service)
    log = service.bus.run_log
    claim = await log.claim(command.thread_id, command.run_id, worker="w", delivery="", after=None)
    await log.append(claim, 1, b"{}")
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=command.run_id))
    assert code_of(caught.value)[0] is Code.RUN_NOT_FOUND
    assert await pairs(service) == []
    now = service.parts.now()
    assert await clear_shadows(service.parts, now) == 0
    assert await log.last(run_subject(command.thread_id, command.run_id, "event")) is not None
    later = now + timedelta(hours=1)
    assert [await clear_shadows(service.parts, later) for _ in range(2)] == [1, 0]
    assert await log.last(run_subject(command.thread_id, command.run_id, "event")) is None


async def test_the_operations_of_an_answer_are_those_that_the_driver_sent(service: Service) -> None:
    thread = await service.thread()
    await service.accept(thread, "the first writes its session down")
    for length in (0, 1):
        service.commands.sent.clear()
        accepted = await service.accept(thread, "hi", path="legacy_sync", idempotency_key=f"k{length}")
        sent = len([name for name, _ in service.commands.sent if name != "delete"])
        checkpoint, ended = states(accepted.run_id, thread, accepted.assistant_message_id, "Rome.", end=e.RunCompleted)
        service.commands.sent.clear()
        if length:
            await record(service, checkpoint)
        await record(service, ended)
        sent += len([name for name, collection in service.commands.sent if collection != "outbox"])
        asked = pb.ListRunResultsRequest(since=SINCE, limit=10, with_operations=True)
        found = next(r for r in (await service.stub.ListRunResults(asked)).items if r.status == "complete")
        assert found.database_operations == sent


async def test_a_departure_is_noted_once_and_of_nothing_that_is_not_there(service: Service) -> None:
    thread = await service.thread()
    left, stayed = [await service.accept(thread, "hi") for _ in range(2)]
    for _ in range(2):
        await service.stub.NoteDeparture(pb.NoteDepartureRequest(run_id=left.run_id))
    await service.stub.NoteDeparture(pb.NoteDepartureRequest(run_id=new_id("run")))
    results = (await service.stub.ListRunResults(pb.ListRunResultsRequest(since=SINCE, limit=10))).items
    assert sorted(result.departed for result in results) == [False, True]
    assert len(await service.rows("runs")) == 2
    assert stayed.run_id != left.run_id


async def test_the_path_that_a_user_would_like_is_a_preference(service: Service) -> None:
    changed = await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=ALICE, path="legacy_sync"))
    assert changed.preferences.path == "legacy_sync"
    kept = await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=ALICE, system_prompt="Be brief."))
    assert kept.preferences.path == "legacy_sync"
    found = await service.stub.GetUser(pb.GetUserRequest(user_id=ALICE))
    assert found.preferences.path == "legacy_sync"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=ALICE, path="shadow"))
    assert code_of(caught.value)[0] is Code.BODY_INVALID
    taken_back = await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=ALICE, path=""))
    assert taken_back.preferences.path == ""


def exposures(path: str) -> float:
    """How often the metric has counted a path."""
    found = metrics.REGISTRY.get_sample_value(Metric.ACCEPTED.value.name, {"path": path})
    return found or 0.0


async def test_exposure_is_counted_once_per_run_on_the_path_that_serves(service: Service) -> None:
    thread = await service.thread()
    before = {path: exposures(path) for path in ("legacy_sync", "durable_event")}
    for _ in range(3):
        await service.accept(thread, "hi", path="shadow", idempotency_key="once")
    await service.accept(thread, "hi")
    assert exposures("legacy_sync") - before["legacy_sync"] == 1
    assert exposures("durable_event") - before["durable_event"] == 1
