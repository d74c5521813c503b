"""Snapshots of the run log become stored messages: idempotent, in any order, with few writes."""

import asyncio
import json

import msgspec
from bus.api import Claim, Delivery, Done, Poison, RetryLater
from contracts import events as e
from contracts.facts import RunEnded, decode_fact
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.usage import Usage
from conversation.entrypoints.record_subscriber import RecordSubscriber
from rpc.v1 import conversation_pb2 as pb

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, Service, until


class Answer:
    """A run as inference would write it, event by event, with snapshots on demand."""

    def __init__(self, service: Service, thread: str, accepted: pb.AcceptMessageResponse, claim: Claim) -> None:
        self.service, self.claim = service, claim
        self.ids = {"thread_id": thread, "run_id": accepted.run_id}
        self.message_id = accepted.assistant_message_id
        self.state = RunState(run_id=accepted.run_id, thread_id=thread)
        self.position = 0

    @classmethod
    async def begin(cls, service: Service, thread: str, accepted: pb.AcceptMessageResponse) -> "Answer":
        claim = await service.bus.run_log.claim(thread, accepted.run_id, worker="w", delivery="", after=None)
        answer = cls(service, thread, accepted, claim)
        await answer.add(
            e.RunStarted, message_id=answer.message_id, model="embedded:smollm2-135m", path="durable_event"
        )
        await answer.add(e.AttemptStarted, worker="w")
        await answer.add(e.StepStarted, step=1, kind="model", name="embedded:smollm2-135m")
        return answer

    async def add(self, kind: type[e.RunEvent], /, **fields: object) -> None:
        common = {**self.ids, "sequence": self.state.sequence + 1, "attempt": 1, "at": "2026-01-01T00:00:00.000Z"}
        event = msgspec.convert({"type": kind.__struct_config__.tag, **common, **fields}, kind)
        self.position = await self.service.bus.run_log.append(self.claim, event.sequence, e.encode_event(event))
        self.state.apply(event)

    def snapshot_bytes(self) -> bytes:
        return encode_snapshot(Snapshot(state=self.state, stream_sequence=self.position))

    async def snapshot(self) -> None:
        await self.service.bus.run_log.snapshot(self.claim, self.state.sequence, self.snapshot_bytes())

    def delivery(self) -> Delivery:
        """The snapshot of this moment, as the consumer would deliver it."""
        return Delivery(f"run.{self.claim.thread_id}.{self.claim.run_id}.snapshot", self.snapshot_bytes(), 1, 1, "")

    async def complete(self) -> None:
        usage = Usage(input_tokens=7, output_tokens=500)
        await self.add(
            e.UsageReported, step=1, of_attempt=1, model="embedded:smollm2-135m", usage=usage, cost_microusd=3
        )
        await self.add(e.StepFinished, step=1, finish_reason="stop")
        await self.add(e.RunCompleted, message_id=self.message_id, usage=usage, cost_microusd=3)


async def _answer(service: Service, thread: str) -> pb.Message:
    reply = await service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread))
    return reply.items[-1]


async def _until_status(service: Service, thread: str, status: str) -> pb.Message:
    async def reached() -> bool:
        return (await _answer(service, thread)).status == status

    await until(reached)
    return await _answer(service, thread)


def _ended(service: Service) -> list[RunEnded]:
    facts = [decode_fact(data) for _, data in service.published("THREADS")]
    return [fact for fact in facts if isinstance(fact, RunEnded)]


async def test_a_500_token_answer_costs_four_writes_and_no_read_until_it_ends(service: Service) -> None:
    service.record()
    thread = await service.thread()
    accepted = await service.accept(thread)
    service.commands.sent.clear()
    answer = await Answer.begin(service, thread, accepted)
    await answer.snapshot()
    for _ in range(500):
        await answer.add(e.TextDelta, part=0, delta="word ")
    await until(lambda: len(service.commands.sent) > 0)
    assert service.commands.sent == [("update", "messages")]
    await answer.complete()
    await answer.snapshot()
    await until(lambda: len(_ended(service)) == 1)
    # A session is written down once, before its first transaction, and then used over and over.
    sent = [command for command in service.commands.sent if command != ("update", "processes")]
    assert sent == [
        ("update", "messages"),
        ("find", "runs"),
        ("update", "runs"),
        ("update", "messages"),
        ("insert", "ledger"),
        ("commitTransaction", "1"),
    ]


async def test_the_start_and_the_end_of_a_short_answer_do_not_collide(service: Service) -> None:
    thread, record = await service.thread(), RecordSubscriber(service.parts)
    for _ in range(5):
        answer = await Answer.begin(service, thread, await service.accept(thread))
        begun = answer.delivery()
        await answer.complete()
        service.commands.sent.clear()
        outcomes = await asyncio.gather(*(record(delivery) for delivery in (begun, begun, answer.delivery())))
        assert outcomes == [Done(), Done(), Done()]
        # The second start finds itself overtaken by the first; the end begins once.
        assert [name for name, _ in service.commands.sent if name != "delete"] == [
            *("update", "update"),
            *("find", "update", "update", "insert", "commitTransaction"),
        ]


async def test_a_finished_answer_is_stored_with_usage_cost_ledger_and_fact(service: Service) -> None:
    service.record()
    thread = await service.thread()
    accepted = await service.accept(thread)
    answer = await Answer.begin(service, thread, accepted)
    await answer.snapshot()
    await _until_status(service, thread, "generating")
    run = pb.GetRunRequest(user_id=ALICE, run_id=accepted.run_id)
    assert (await service.stub.GetRun(run)).run.status == "generating"
    await answer.add(e.TextDelta, part=0, delta="Ro")
    await answer.snapshot()

    async def partly() -> bool:
        return (await _answer(service, thread)).content == "Ro"

    await until(partly)
    await answer.add(e.TextDelta, part=0, delta="me")
    await answer.complete()
    await answer.snapshot()
    message = await _until_status(service, thread, "complete")
    assert (message.content, message.cost_microusd, message.usage.output_tokens) == ("Rome", 3, 500)
    assert message.parts_json == b'[{"type":"text","text":"Rome"}]'
    reply = await service.stub.GetRun(run)
    assert (reply.run.status, reply.run.final_sequence, reply.run.attempts) == ("complete", answer.state.sequence, 1)
    assert reply.run.ended_at == "2026-01-01T00:00:00.000Z"
    assert reply.message == message
    (booked,) = await service.rows("ledger")
    assert (booked["user_id"], booked["cost_microusd"], booked["usage"]["input_tokens"]) == (ALICE, 3, 7)
    await until(lambda: len(_ended(service)) == 1)
    assert (_ended(service)[0].user_id, _ended(service)[0].preview) == (ALICE, "Rome")


async def test_an_older_snapshot_never_replaces_a_newer_one_nor_an_end(service: Service) -> None:
    thread = await service.thread()
    answer = await Answer.begin(service, thread, await service.accept(thread))
    await answer.add(e.TextDelta, part=0, delta="one")
    older = answer.delivery()
    await answer.add(e.TextDelta, part=0, delta=" two")
    newer = answer.delivery()
    record = RecordSubscriber(service.parts)
    assert await record(newer) == Done()
    assert await record(older) == Done()
    assert (await _answer(service, thread)).content == "one two"
    await answer.complete()
    assert await record(answer.delivery()) == Done()
    stored = await _answer(service, thread)
    for late in (older, newer):
        assert await record(late) == Done()
    assert await _answer(service, thread) == stored
    assert stored.status == "complete"


async def test_the_same_end_recorded_many_times_at_once_by_two_replicas_is_one_end(start: StartService) -> None:
    services = [await start(), await start()]
    thread = await services[0].thread()
    answer = await Answer.begin(services[0], thread, await services[0].accept(thread))
    await answer.complete()
    delivery = answer.delivery()
    subscribers = [RecordSubscriber(service.parts) for service in services]
    outcomes = await asyncio.gather(*(subscribers[n % 2](delivery) for n in range(10)))
    assert set(outcomes) == {Done()}
    assert len(await services[0].rows("ledger")) == 1
    assert len(_ended(services[0])) == 1


async def test_a_stopped_and_a_failed_answer_keep_what_was_written(service: Service) -> None:
    record = RecordSubscriber(service.parts)
    endings: list[tuple[type[e.RunEvent], dict[str, object], str]] = [
        (e.RunCancelled, {"by": ALICE}, "cancelled"),
        (e.RunFailed, {"code": "upstream_incomplete", "message": "The provider stopped."}, "error"),
    ]
    for kind, fields, status in endings:
        thread = await service.thread()
        answer = await Answer.begin(service, thread, await service.accept(thread))
        await answer.add(e.TextDelta, part=0, delta="Half an")
        await answer.add(kind, message_id=answer.message_id, usage={}, cost_microusd=0, **fields)
        await record(answer.delivery())
        message = await _answer(service, thread)
        assert (message.status, message.content) == (status, "Half an")
        assert message.error_code == fields.get("code", "")
    assert await service.rows("ledger") == []


async def test_a_thread_deleted_meanwhile_has_nothing_to_record(service: Service) -> None:
    thread = await service.thread()
    answer = await Answer.begin(service, thread, await service.accept(thread))
    running = answer.delivery()
    await answer.complete()
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread))
    record = RecordSubscriber(service.parts)
    assert await record(running) == Done()
    assert await record(answer.delivery()) == Done()
    assert await service.rows("messages") == []
    assert await service.rows("ledger") == []
    assert _ended(service) == []


async def test_an_end_that_could_not_be_told_is_told_when_it_is_delivered_again(service: Service) -> None:
    thread = await service.thread()
    answer = await Answer.begin(service, thread, await service.accept(thread))
    await answer.complete()
    record = RecordSubscriber(service.parts)
    service.bus.reachable = False
    assert isinstance(await record(answer.delivery()), RetryLater)
    assert (await _answer(service, thread)).status == "complete"
    service.bus.reachable = True
    for _ in range(2):
        assert await record(answer.delivery()) == Done()
    assert len(_ended(service)) == 1
    assert len(await service.rows("ledger")) == 1


async def test_parts_are_stored_as_they_are_whatever_a_tool_was_given(service: Service) -> None:
    thread = await service.thread()
    answer = await Answer.begin(service, thread, await service.accept(thread))
    strange = {"$set": {"a.b": 2**80}, "": None}
    await answer.add(e.TextDelta, part=0, delta="Looking.")
    await answer.add(e.ToolCall, part=1, tool_call_id="c", name="look", input=strange, state="pending")
    await RecordSubscriber(service.parts)(answer.delivery())
    message = await _answer(service, thread)
    assert message.content == "Looking."
    assert json.loads(message.parts_json)[1]["input"] == strange


async def test_what_is_no_snapshot_is_poison(service: Service) -> None:
    delivery = Delivery("run.x.y.snapshot", b"{", 1, 1, "")
    assert isinstance(await RecordSubscriber(service.parts)(delivery), Poison)
