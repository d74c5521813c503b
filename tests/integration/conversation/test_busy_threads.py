"""A message while another answer goes on: refused, queued, in its place, or joined to it; and messages for later."""

from datetime import timedelta

import grpc
import msgspec
import pytest
from contracts import events as e
from contracts.codes import Code
from contracts.commands import CancelRun, ExecuteRun, RunCommand, SteerRun
from contracts.subjects import execute_subject, run_subject
from contracts.times import rfc3339
from conversation.handlers.revive_runs import revive_runs
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of

from tests.integration.conversation.replica import ALICE, Service, until
from tests.integration.conversation.runs import Worker


def begun(service: Service) -> list[str]:
    """The runs that workers were told of, in order, each once."""
    runs = [msgspec.json.decode(data, type=ExecuteRun).run_id for _, data in service.published("COMMANDS")]
    return list(dict.fromkeys(runs))


async def commands(service: Service, thread: str, run: str) -> list[RunCommand]:
    log = service.bus.run_log.read(run_subject(thread, run, "command"))
    return [msgspec.json.decode(entry.data, type=RunCommand) async for entry in log]


async def status(service: Service, run: str) -> str:
    return (await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=run))).run.status


async def refusal(service: Service, thread: str, **more: str) -> Code:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.accept(thread, **more)
    return code_of(caught.value)[0]


async def test_answers_of_a_thread_are_made_one_after_the_other(service: Service) -> None:
    service.record()
    thread = await service.thread()
    runs = [await service.accept(thread, f"m{n}") for n in range(3)]
    assert [run.queued for run in runs] == [False, True, True]
    for count, run in enumerate(runs, 1):
        await until(lambda count=count: len(begun(service)) == count)  # type: ignore[misc]  # default argument binds the loop's value
        assert begun(service) == [other.run_id for other in runs[:count]]
        await (await Worker.take(service, thread, run)).end()
    after = await service.accept(thread, "once all have ended")
    assert not after.queued


async def test_a_queued_answer_that_is_stopped_leaves_the_queue_at_once(service: Service) -> None:
    service.record()
    service.wake()
    thread = await service.thread()
    first, second, third, fourth = [await service.accept(thread, f"m{n}") for n in range(4)]
    for stopped in (second, fourth):
        stop = CancelRun(by=ALICE, at="2026-01-01T00:00:00.000Z")
        await service.bus.run_log.append_command(
            thread, stopped.run_id, msgspec.json.encode(stop), message_id=f"{stopped.run_id}:cancel"
        )
        await until(lambda stopped=stopped: stopped.run_id in begun(service))  # type: ignore[misc]  # default argument binds the loop's value
        await (await Worker.take(service, thread, stopped)).end(e.RunCancelled, by=ALICE)

        async def ended(stopped: pb.AcceptMessageResponse = stopped) -> bool:
            return await status(service, stopped.run_id) == "cancelled"

        await until(ended)
    assert third.run_id not in begun(service)
    fifth = await service.accept(thread, "behind the third")
    for run in (first, third):
        await until(lambda run=run: run.run_id in begun(service))  # type: ignore[misc]  # default argument binds the loop's value
        await (await Worker.take(service, thread, run)).end()
    await until(lambda: len(begun(service)) == 5)
    assert begun(service) == [first.run_id, second.run_id, fourth.run_id, third.run_id, fifth.run_id]


async def test_a_busy_thread_refuses_where_that_is_wanted(service: Service) -> None:
    thread = await service.thread()
    await service.stub.UpdateThread(pb.UpdateThreadRequest(user_id=ALICE, thread_id=thread, on_busy="reject"))
    await service.accept(thread)
    assert await refusal(service, thread) is Code.THREAD_BUSY
    assert (await service.accept(thread, on_busy="enqueue")).queued
    assert await refusal(service, thread, on_busy="shout") is Code.BODY_INVALID
    assert len(await service.rows("runs")) == 2


async def test_an_interruption_stops_what_goes_on_and_what_waits_and_is_next(service: Service) -> None:
    service.record()
    thread = await service.thread()
    first, second = await service.accept(thread, "one"), await service.accept(thread, "two")
    instead = await service.accept(thread, "instead", on_busy="interrupt")
    for run in (first, second):
        await until(lambda run=run: any(run.run_id in subject for subject, _ in service.published("RUNS")))  # type: ignore[misc]  # default argument binds the loop's value
        assert [type(command) for command in await commands(service, thread, run.run_id)] == [CancelRun]
    for run in (second, first):
        await (await Worker.take(service, thread, run)).end(e.RunCancelled, by=ALICE)
    await until(lambda: instead.run_id in begun(service))


async def test_a_steer_joins_the_answer_and_one_that_comes_too_late_is_answered(service: Service) -> None:
    service.record()
    thread = await service.thread()
    first = await service.accept(thread, "Plan a trip")
    queued = await service.accept(thread, "Something else")
    steer = await service.accept(thread, "by train", on_busy="steer", idempotency_key="k")
    assert (steer.steered, steer.run_id, steer.assistant_message_id) == (
        True,
        first.run_id,
        first.assistant_message_id,
    )
    again = await service.accept(thread, "by train", on_busy="steer", idempotency_key="k")
    assert (again.message_id, again.repeated_request, again.steered) == (steer.message_id, True, True)
    late = await service.accept(thread, "and cheap", steer_run_id=first.run_id)
    await until(lambda: sum("command" in subject for subject, _ in service.published("RUNS")) == 2)
    told = await commands(service, thread, first.run_id)
    assert [(command.text, command.message_id) for command in told if isinstance(command, SteerRun)] == [
        ("by train", steer.message_id),
        ("and cheap", late.message_id),
    ]
    worker = await Worker.take(service, thread, first)
    await worker.add(e.RunSteered, text="by train", by=ALICE, message_id=steer.message_id)
    await worker.end()
    await until(lambda: len(begun(service)) == 2)
    answering = begun(service)[1]
    run = (await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=answering))).run
    assert run.question_id == late.message_id
    asked = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=answering))
    assert asked.messages[-1].content == "and cheap"
    accepted = pb.AcceptMessageResponse(run_id=run.id, assistant_message_id=run.message_id)
    await (await Worker.take(service, thread, accepted)).end()
    await until(lambda: begun(service)[2:] == [queued.run_id])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.accept(thread, "hello", steer_run_id=first.run_id)
    assert code_of(caught.value)[0] is Code.RUN_FINISHED


async def test_a_message_for_later_begins_at_its_time_behind_what_was_said_meanwhile(service: Service) -> None:
    service.record()
    service.wake()
    thread = await service.thread()
    moment = rfc3339(service.parts.now() + timedelta(seconds=0.6))
    later = await service.accept(thread, "Good morning", run_at=moment, roles=["admin"])
    assert later.queued
    meanwhile = await service.accept(thread, "Meanwhile")
    assert begun(service) == [meanwhile.run_id] or not begun(service)
    await (await Worker.take(service, thread, meanwhile)).end()
    await until(lambda: later.run_id in begun(service))
    found = await service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread, branch="active"))
    assert [message.id for message in found.items] == [
        meanwhile.message_id,
        meanwhile.assistant_message_id,
        later.message_id,
        later.assistant_message_id,
    ]
    asked = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=later.run_id))
    assert [message.content for message in asked.messages] == ["Meanwhile", "Good morning"]
    assert (asked.user_id, list(asked.roles)) == (ALICE, ["admin"])
    assert await refusal(service, thread, run_at="tomorrow") is Code.SCHEDULE_INVALID
    assert (
        await refusal(service, thread, run_at=rfc3339(service.parts.now() + timedelta(days=800)))
        is Code.SCHEDULE_INVALID
    )


async def test_a_message_for_later_whose_timer_was_lost_is_begun_all_the_same(service: Service) -> None:
    thread = await service.thread()
    moment = rfc3339(service.parts.now() + timedelta(hours=1))
    later = await service.accept(thread, "Good morning", run_at=moment)
    past = service.parts.now() - timedelta(seconds=1)
    await service.database.collection("runs").update_one({}, {"$set": {"start_at": past, "check_at": past}})
    assert (await revive_runs(service.parts))["start"] == 1
    await until(lambda: begun(service) == [later.run_id])


async def test_a_run_that_waits_is_woken_by_a_command_and_by_its_timer_and_left_alone_meanwhile(
    service: Service,
) -> None:
    service.record()
    service.wake()
    thread = await service.thread()
    accepted = await service.accept(thread)
    await until(lambda: len(service.published("COMMANDS")) == 1)
    worker = await Worker.take(service, thread, accepted)
    soon = rfc3339(service.parts.now() + timedelta(hours=1))
    await worker.add(e.RunWaiting, reason="input", wait_id="w1", prompt="Which one?", expires_at=soon)
    await worker.snapshot()

    async def waiting() -> bool:
        return await status(service, accepted.run_id) == "waiting"

    await until(waiting)
    messages = await service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread))
    assert messages.items[-1].status == "generating"
    await until(lambda: any(subject.endswith("run.waiting") for subject, _ in service.published("THREADS")))
    service.bus.broker.streams["COMMANDS"].remove(lambda stored: True)
    moved = {"check_at": service.parts.now() - timedelta(seconds=1), "revivals": 5}
    await service.database.collection("runs").update_one({"_id": accepted.run_id}, {"$set": moved})
    assert (await revive_runs(service.parts))["wait"] == 1
    assert service.published("COMMANDS") == []
    answer = b'{"type":"input","wait_id":"w1","value":1,"by":"x","at":"y"}'
    await service.bus.run_log.append_command(thread, accepted.run_id, answer, message_id="a", after=0)
    await until(lambda: begun(service) == [accepted.run_id])
    # Nobody took it up, and the command to do so is lost: the look at runs of which nothing is heard finds the answer.
    service.bus.broker.streams["COMMANDS"].remove(lambda stored: True)
    await service.database.collection("runs").update_one({"_id": accepted.run_id}, {"$set": moved})
    assert (await revive_runs(service.parts))["wait"] == 1
    assert begun(service) == [accepted.run_id]
    service.bus.broker.streams["COMMANDS"].remove(lambda stored: True)
    due = f"timer.due.run.{accepted.run_id}"
    await service.bus.schedule(f"timer.at.run.{accepted.run_id}", at=service.parts.now(), target=due, data=b"{}")
    await until(lambda: [subject for subject, _ in service.published("COMMANDS")] == [execute_subject(accepted.run_id)])
    await worker.add(e.RunResumed, reason="input", wait_id="w1", by=ALICE)
    await worker.end()

    async def complete() -> bool:
        return await status(service, accepted.run_id) == "complete"

    await until(complete)
