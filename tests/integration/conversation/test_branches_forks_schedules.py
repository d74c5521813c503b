"""Branches of a thread, threads that fork, and schedules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import msgspec
import pytest
from contracts import events as e
from contracts.client_tools import ClientTool, ClientTools, encode_tools
from contracts.codes import Code
from contracts.parts import ToolCallPart
from conversation.adapters.cron_calendar import CronCalendar
from conversation.domain.refusals import RefusedError
from conversation.handlers.run_schedule import run_overdue_schedules, run_schedule
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of

from tests.integration.conversation.replica import ALICE, BOB, Service, until
from tests.integration.conversation.runs import Worker


async def answered(service: Service, thread: str, content: str = "", **more: Any) -> pb.AcceptMessageResponse:
    accepted = await service.accept(thread, content, **more)
    worker = await Worker.take(service, thread, accepted)
    await worker.add(e.TextDelta, part=0, delta=f"answer to {content}")
    await worker.end()

    async def ended() -> bool:
        run = await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=accepted.run_id))
        return run.run.status == "complete"

    await until(ended)
    return accepted


async def branches(service: Service, thread: str) -> list[pb.Branch]:
    found = await service.stub.ListBranches(pb.ListBranchesRequest(user_id=ALICE, thread_id=thread))
    return list(found.items)


async def along(service: Service, thread: str, branch: str, limit: int = 50) -> list[str]:
    request = pb.ListMessagesRequest(user_id=ALICE, thread_id=thread, branch=branch, limit=limit)
    found: list[str] = []
    while True:
        page = await service.stub.ListMessages(request)
        found += [message.id for message in page.items]
        if not page.next_cursor:
            return found
        request.cursor = page.next_cursor


async def test_an_answer_made_anew_and_an_edited_question_begin_branches(service: Service) -> None:
    service.record()
    thread = await service.thread()
    first = await answered(service, thread, "one")
    second = await answered(service, thread, "two")
    anew = await answered(service, thread, answers_message_id=second.assistant_message_id, branch_label="again")
    assert anew.message_id == second.message_id
    edited = await answered(service, thread, "two, better", replaces_message_id=second.message_id)
    main, regenerated, edit = await branches(service, thread)
    assert [branch.id for branch in (main, regenerated, edit)] == [
        first.message_id,
        anew.assistant_message_id,
        edited.message_id,
    ]
    assert (regenerated.label, regenerated.parent_message_id) == ("again", second.message_id)
    assert [branch.active for branch in (main, regenerated, edit)] == [False, False, True]
    start = [first.message_id, first.assistant_message_id]
    assert await along(service, thread, "active") == [*start, edited.message_id, edited.assistant_message_id]
    assert await along(service, thread, main.id, limit=3) == [*start, second.message_id, second.assistant_message_id]
    assert await along(service, thread, regenerated.id) == [*start, second.message_id, anew.assistant_message_id]
    change = pb.UpdateThreadRequest(user_id=ALICE, thread_id=thread, branch=regenerated.id)
    await service.stub.UpdateThread(change)
    on_it = await service.accept(thread, "three")
    asked = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=on_it.run_id))
    assert [message.content for message in asked.messages] == ["one", "answer to one", "two", "answer to ", "three"]
    label = pb.LabelBranchRequest(user_id=ALICE, thread_id=thread, branch_id=edit.id, label=" the  edit ")
    assert (await service.stub.LabelBranch(label)).branch.label == "the edit"
    assert [branch.label for branch in await branches(service, thread)] == ["", "again", "the edit"]
    assert {branch.id: branch.length for branch in await branches(service, thread)}[regenerated.id] == 6


async def test_an_answer_made_anew_has_the_tools_that_the_client_brought_and_its_results(service: Service) -> None:
    service.record()
    thread = await service.thread()
    tools = encode_tools(ClientTools(tools=(ClientTool(name="look"),)))
    asked = await service.accept(thread, "What is there?", client_tools_json=tools)
    worker = await Worker.take(service, thread, asked)
    await worker.add(e.ToolCall, part=0, tool_call_id="c1", name="look", input={"at": "north"}, state="pending")
    await worker.end()
    known = ToolCallPart(tool_call_id="c1", name="look", state="completed", output="a lake")
    told = await answered(
        service,
        thread,
        "a lake",
        parent_message_id=asked.assistant_message_id,
        results_json=msgspec.json.encode([known]),
        client_tools_json=tools,
    )
    for name in (told.assistant_message_id, told.message_id):
        anew = await service.accept(thread, answers_message_id=name)
        assert anew.message_id == told.message_id
        sent = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=anew.run_id))
        assert sent.client_tools_json == tools
        assert sent == await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=told.run_id))
        assert b"a lake" in sent.messages[-1].parts_json
    first = await service.accept(thread, answers_message_id=asked.message_id)
    assert (await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=first.run_id))).client_tools_json == tools


async def test_a_fork_has_copies_up_to_a_message_and_goes_its_own_way(service: Service) -> None:
    service.record()
    thread = await service.thread(title="Rome")
    first = await answered(service, thread, "one")
    second = await service.accept(thread, "two")
    fork = pb.ForkThreadRequest(user_id=ALICE, thread_id=thread, message_id=first.assistant_message_id)
    forked = (await service.stub.ForkThread(fork)).thread
    assert (forked.title, forked.id != thread) == ("Rome", True)
    request = pb.ListMessagesRequest(user_id=ALICE, thread_id=forked.id)
    copies = (await service.stub.ListMessages(request)).items
    assert [(message.content, message.run_id) for message in copies] == [("one", ""), ("answer to one", "")]
    going_on = await service.accept(forked.id, "and then?")
    asked = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=going_on.run_id))
    assert [message.content for message in asked.messages] == ["one", "answer to one", "and then?"]
    for wrong, code in (
        ({"message_id": second.assistant_message_id}, Code.THREAD_BUSY),
        ({"user_id": BOB}, Code.THREAD_NOT_FOUND),
        ({"message_id": copies[0].id}, Code.MESSAGE_NOT_FOUND),
    ):
        request_of = {"user_id": ALICE, "thread_id": thread, "message_id": first.message_id, **wrong}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.stub.ForkThread(pb.ForkThreadRequest(**request_of))
        assert code_of(caught.value)[0] is code


async def _schedule(service: Service, thread: str, **more: str) -> pb.Schedule:
    fields = {"cron": "0 9 * * mon-fri", "time_zone": "Europe/Rome", "content": "Good morning", **more}
    request = pb.CreateScheduleRequest(user_id=ALICE, thread_id=thread, **fields)
    return (await service.stub.CreateSchedule(request)).schedule


async def test_a_schedule_sends_its_message_once_each_time(service: Service) -> None:
    service.record()
    service.wake()
    thread = await service.thread()
    schedule = await _schedule(service, thread, agent="morning")
    # Its time comes: the timer fires, and both a second delivery and a second replica find it done.
    now = service.parts.now()
    await service.database.collection("schedules").update_one({}, {"$set": {"next_at": now - timedelta(days=3)}})
    due = f"timer.due.schedule.{schedule.id}"
    await service.bus.schedule(f"timer.at.schedule.{schedule.id}", at=now, target=due, data=b"{}")

    async def sent() -> bool:
        return len(await service.rows("runs")) == 1

    await until(sent)
    await run_schedule(service.parts, schedule.id)
    assert await run_overdue_schedules(service.parts) == 0
    listed = await service.stub.ListSchedules(pb.ListSchedulesRequest(user_id=ALICE, thread_id=thread))
    (run,) = await service.rows("runs")
    assert (listed.items[0].last_run_id, listed.items[0].last_refusal, run["agent"]) == (run["_id"], "", "morning")
    assert listed.items[0].next_at > schedule.created_at
    # A timer that was lost: the sweep finds it.
    await service.database.collection("schedules").update_one({}, {"$set": {"next_at": now - timedelta(minutes=2)}})
    assert await run_overdue_schedules(service.parts) == 1
    assert len(await service.rows("runs")) == 2
    delete = pb.DeleteScheduleRequest(user_id=ALICE, thread_id=thread, schedule_id=schedule.id)
    await service.stub.DeleteSchedule(delete)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.DeleteSchedule(delete)
    assert code_of(caught.value)[0] is Code.SCHEDULE_NOT_FOUND
    await run_schedule(service.parts, schedule.id)
    assert len(await service.rows("runs")) == 2


async def test_what_is_no_schedule_is_refused_with_a_sentence(service: Service) -> None:
    thread = await service.thread()
    for wrong in ({"cron": "* * * * * *"}, {"cron": "61 * * * *"}, {"time_zone": "Rome"}, {"cron": "0 0 31 2 *"}):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _schedule(service, thread, **wrong)
        assert code_of(caught.value)[0] is Code.SCHEDULE_INVALID
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _schedule(service, thread, content=" ")
    assert code_of(caught.value)[0] is Code.MESSAGE_EMPTY
    assert await service.rows("schedules") == []


def test_times_follow_the_clock_of_the_zone() -> None:
    calendar = CronCalendar()
    winter = datetime(2026, 3, 28, 12, tzinfo=UTC)
    saturday = calendar.next_after("0 9 * * *", "Europe/Rome", winter)
    assert saturday == datetime(2026, 3, 29, 7, tzinfo=UTC)
    assert calendar.next_after("0 9 * * *", "Europe/Rome", datetime(2026, 1, 1, tzinfo=UTC)) == datetime(
        2026, 1, 1, 8, tzinfo=UTC
    )
    with pytest.raises(RefusedError):
        calendar.next_after("0 9 * * *", "../etc/passwd", winter)
