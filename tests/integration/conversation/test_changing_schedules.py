"""Schedules that are paused, resumed and edited, also while their time comes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from contracts.codes import Code
from contracts.times import parse_rfc3339
from conversation.domain.schedules import Schedule, timer_of
from conversation.handlers.run_schedule import run_overdue_schedules, run_schedule
from rpc.v1 import conversation_pb2 as pb
from rpc.v1 import sharing_pb2 as sh
from runtime.rpc import code_of

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, BOB, Service


async def make(service: Service, **more: Any) -> pb.Schedule:
    thread = await service.thread(ALICE)
    fields = {"cron": "0 9 * * *", "time_zone": "Europe/Rome", "content": "Good morning", **more}
    request = pb.CreateScheduleRequest(user_id=ALICE, thread_id=thread, **fields)
    return (await service.stub.CreateSchedule(request)).schedule


async def change(service: Service, of: pb.Schedule, user: str = ALICE, **changes: Any) -> pb.Schedule:
    """Change what somebody has seen of it."""
    wanted = {"user_id": user, "thread_id": of.thread_id, "schedule_id": of.id, "expected_revision": of.revision}
    return (await service.stub.UpdateSchedule(pb.UpdateScheduleRequest(**{**wanted, **changes}))).schedule


async def code_for(service: Service, of: pb.Schedule, **changes: Any) -> Code:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await change(service, of, **changes)
    return code_of(caught.value)[0]


async def come(service: Service, of: pb.Schedule, ago: timedelta = timedelta(seconds=1)) -> None:
    """Let its time come."""
    await service.database.collection("schedules").update_one(
        {"_id": of.id}, {"$set": {"next_at": service.parts.now() - ago}}
    )


async def share(service: Service, of: pb.Schedule) -> None:
    """Bob becomes an editor of its thread."""
    invite = sh.CreateInvitationRequest(user_id=ALICE, thread_id=of.thread_id, role="editor")
    token = (await service.sharing.CreateInvitation(invite)).token
    await service.sharing.AcceptInvitation(sh.AcceptInvitationRequest(user_id=BOB, token=token))


async def stored(service: Service, of: pb.Schedule) -> Schedule:
    found = await service.parts.records.schedule(of.id)
    assert found is not None
    return found


async def sent(service: Service) -> list[str]:
    return [row["content"] for row in await service.rows("messages") if row["role"] == "user"]


async def test_a_paused_schedule_sends_nothing_and_makes_up_for_nothing(service: Service) -> None:
    schedule = await make(service)
    assert (schedule.revision, schedule.paused, schedule.user_id) == (1, False, ALICE)
    await come(service, schedule, timedelta(days=2))
    paused = await change(service, schedule, paused=True)
    assert (paused.revision, paused.paused, paused.next_at) == (2, True, "")
    # The timer that was set fires all the same; the sweep does not take it for lost.
    await run_schedule(service.parts, schedule.id)
    assert await run_overdue_schedules(service.parts) == 0
    # The same call again, whose answer was lost, changes nothing and is not refused.
    assert await change(service, schedule, paused=True) == paused
    assert await code_for(service, schedule, paused=False) is Code.REVISION_CONFLICT
    resumed = await change(service, paused, paused=False)
    assert (resumed.revision, resumed.paused) == (3, False)
    assert parse_rfc3339(resumed.next_at) > service.parts.now()
    assert await sent(service) == []
    timer = timer_of(await stored(service, schedule))
    assert timer is not None
    assert timer.message_id == f"{schedule.id}:{resumed.next_at}"


async def test_what_is_sent_and_when_is_edited(service: Service) -> None:
    schedule = await make(service, model="")
    later = await change(service, schedule, content="Good evening", cron="30  18 * * *")
    assert (later.content, later.cron, later.time_zone) == ("Good evening", "30 18 * * *", "Europe/Rome")
    assert later.next_at != schedule.next_at
    # What is sent does not move when it is sent; what is not given stays.
    same = await change(service, later, content="Good night", model=service.parts.registry.default)
    assert (same.next_at, same.cron, same.revision) == (later.next_at, later.cron, 3)
    assert (await change(service, same, model="")).model == ""
    here = (
        await service.stub.ListSchedules(pb.ListSchedulesRequest(user_id=ALICE, thread_id=schedule.thread_id))
    ).items
    assert [item.revision for item in here] == [4]
    for wrong, code in (
        ({"cron": "61 * * * *"}, Code.SCHEDULE_INVALID),
        ({"cron": "0 0 31 2 *"}, Code.SCHEDULE_INVALID),
        ({"time_zone": "Rome"}, Code.SCHEDULE_INVALID),
        ({"content": " "}, Code.MESSAGE_EMPTY),
        ({"model": "nobody:knows"}, Code.MODEL_UNKNOWN),
        ({"on_busy": "shout"}, Code.BODY_INVALID),
        ({"schedule_id": "nonsense"}, Code.SCHEDULE_NOT_FOUND),
        ({"thread_id": await service.thread(ALICE)}, Code.SCHEDULE_NOT_FOUND),
    ):
        assert await code_for(service, here[0], **wrong) is code, wrong
    await come(service, schedule)
    await run_schedule(service.parts, schedule.id)
    assert await sent(service) == ["Good night"]


async def test_who_changes_what_is_sent_sends_it(service: Service) -> None:
    schedule = await make(service)
    await share(service, schedule)
    paused = await change(service, schedule, BOB, paused=True)
    assert paused.user_id == ALICE, "to pause it is not to write it"
    edited = await change(service, paused, BOB, content="Bob says", paused=False)
    assert edited.user_id == BOB
    await come(service, schedule)
    await run_schedule(service.parts, schedule.id)
    (run,) = await service.rows("runs")
    assert run["user_id"] == BOB


@pytest.mark.parametrize(
    "changes",
    [
        {"content": "Good night"},
        {"cron": "*/5 * * * *"},
        {"time_zone": "Asia/Tokyo"},
        {"model": "openai:gpt-4o"},
        {"agent": "researcher"},
        {"on_busy": "interrupt"},
        # What its author had stopped.
        {"paused": False},
    ],
)
async def test_nobody_has_it_sent_with_anothers_role_or_on_anothers_bill(
    service: Service, changes: dict[str, Any]
) -> None:
    """Alice is an administrator, and Bob is none: whatever he changes of hers runs as what he is, by his budget."""
    schedule = await make(service, roles=["admin"])
    await share(service, schedule)
    schedule = await change(service, schedule, paused=True, roles=["admin"])
    assert (await stored(service, schedule)).roles == ("admin",)
    changed = await change(service, schedule, BOB, roles=["user"], **changes)
    assert ((await stored(service, changed)).user_id, (await stored(service, changed)).roles) == (BOB, ("user",))
    await change(service, changed, BOB, roles=["user"], paused=False)
    await come(service, schedule)
    await run_schedule(service.parts, schedule.id)
    (run,) = await service.rows("runs")
    assert (run["user_id"], run["roles"]) == (BOB, ["user"])
    given = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=run["_id"]))
    assert (given.user_id, list(given.roles)) == (BOB, ["user"])
    # Who may not write any more sends nothing, and nobody else does so in that name.
    gone = sh.RemoveMemberRequest(user_id=ALICE, thread_id=schedule.thread_id, member_id=BOB)
    await service.sharing.RemoveMember(gone)
    await come(service, schedule)
    await run_schedule(service.parts, schedule.id)
    assert len(await service.rows("runs")) == 1
    assert (await stored(service, schedule)).last_refusal


class Meanwhile:
    """Records in whose reader's back something happens, once: between reading a schedule and sending what it says."""

    def __init__(self, records: Any, then: Callable[[], Awaitable[Any]]) -> None:
        self._records, self._then = records, [then]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    async def schedule(self, schedule_id: str) -> Schedule | None:
        found: Schedule | None = await self._records.schedule(schedule_id)
        while self._then:
            await self._then.pop()()
        return found


async def test_what_was_read_before_a_change_is_not_sent_after_it(service: Service) -> None:
    async def delete(schedule: pb.Schedule) -> None:
        of = {"user_id": ALICE, "thread_id": schedule.thread_id, "schedule_id": schedule.id}
        await service.stub.DeleteSchedule(pb.DeleteScheduleRequest(**of))

    cases: list[tuple[Callable[[pb.Schedule], Awaitable[Any]], list[str]]] = [
        (lambda schedule: change(service, schedule, paused=True), []),
        (lambda schedule: change(service, schedule, content="After"), ["After"]),
        (lambda schedule: change(service, schedule, cron="30 18 * * *"), []),
        (delete, []),
        (lambda schedule: run_schedule(service.parts, schedule.id), ["Before"]),
    ]
    for then, contents in cases:
        schedule = await make(service, content="Before")
        await come(service, schedule)
        meanwhile: Any = Meanwhile(service.parts.records, partial(then, schedule))
        await run_schedule(replace(service.parts, records=meanwhile), schedule.id)
        rows = [row for row in await service.rows("messages") if row["thread_id"] == schedule.thread_id]
        assert [row["content"] for row in rows if row["role"] == "user"] == contents


async def test_a_time_that_comes_during_a_change_is_before_it_or_after_it(start: StartService) -> None:
    services = [await start(), await start()]
    for number in range(4):
        schedule = await make(services[0], content="Before")
        await come(services[0], schedule)
        wanted: dict[str, Any] = {"paused": True} if number % 2 else {"content": "After"}
        changing = asyncio.create_task(change(services[0], schedule, **wanted))
        await asyncio.gather(changing, *(run_schedule(service.parts, schedule.id) for service in services))
        changed = changing.result()
        # Whoever was first: each time is sent once, and after the answer to the change nothing is sent as it was before.
        here = [row for row in await services[0].rows("messages") if row["thread_id"] == schedule.thread_id]
        contents = [row["content"] for row in here if row["role"] == "user"]
        if changed.last_run_id:
            assert contents == ["Before"]
        else:
            assert contents == ([] if number % 2 else ["After"])
        await run_schedule(services[1].parts, schedule.id)
        left = await stored(services[0], schedule)
        assert (left.paused, left.next_at is None) == (number % 2 == 1, number % 2 == 1)
        assert bool(left.last_run_id) == bool(contents)


async def test_two_people_change_it_at_once_and_one_is_told(start: StartService) -> None:
    services = [await start(), await start()]
    schedule = await make(services[0])
    outcomes = await asyncio.gather(
        *(change(service, schedule, content=f"Version {number}") for number, service in enumerate(services)),
        return_exceptions=True,
    )
    (late,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert code_of(late)[0] is Code.REVISION_CONFLICT
    (first,) = [outcome for outcome in outcomes if isinstance(outcome, pb.Schedule)]
    kept = await stored(services[0], schedule)
    assert (kept.content, kept.revision) == (first.content, 2)
