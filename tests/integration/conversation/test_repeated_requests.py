"""Requests that make something, repeated with one idempotency key: a thread, a fork, a schedule."""

import asyncio
from typing import Any

import grpc
import pytest
from contracts.codes import Code
from conversation.handlers.finish_deletions import finish_deletions
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, BOB, Service, until
from tests.integration.conversation.runs import Worker


async def _made(service: Service, **asked: Any) -> pb.Thread:
    reply = await service.stub.CreateThread(pb.CreateThreadRequest(**({"user_id": ALICE, "title": "Trip"} | asked)))
    return reply.thread


async def _refused(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> Code:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return code_of(caught.value)[0]


async def test_a_key_sent_many_times_at_once_makes_one_thread(start: StartService) -> None:
    services = [await start(), await start()]
    # The user is new as well: both keys collide, and each is looked up again.
    made = await asyncio.gather(*(_made(services[n % 2], tags=["a"], idempotency_key="k") for n in range(12)))
    assert len({thread.id for thread in made}) == 1
    assert all(thread == made[0] for thread in made)
    assert [row["_id"] for row in await services[0].rows("threads")] == [made[0].id]
    await until(lambda: len(services[0].published("THREADS")) == 1)
    for service in services:
        await service.relay.sweep()
    assert len(services[0].published("THREADS")) == 1


async def test_a_key_names_one_request_of_one_user(service: Service) -> None:
    first = await _made(service, idempotency_key="k")
    changed = pb.UpdateThreadRequest(user_id=ALICE, thread_id=first.id, title="Trip to Rome")
    await service.stub.UpdateThread(changed)
    again = await _made(service, idempotency_key="k")
    assert (again.id, again.title) == (first.id, "Trip to Rome")
    assert (await _made(service, user_id=BOB, idempotency_key="k")).id != first.id
    assert (await _made(service, idempotency_key="other")).id != first.id

    def create(**asked: Any) -> grpc.aio.UnaryUnaryCall[Any, Any]:
        return service.stub.CreateThread(pb.CreateThreadRequest(**({"user_id": ALICE, "title": "Trip"} | asked)))

    for other in ({"title": "Trap"}, {"tags": ["a"]}, {"kind": "temporary"}, {"on_busy": "reject"}):
        assert await _refused(create(idempotency_key="k", **other)) is Code.IDEMPOTENCY_MISMATCH
    assert await _refused(create(idempotency_key="a\nb")) is Code.IDEMPOTENCY_KEY_INVALID
    # One word, one meaning: a key of a message is not one for a thread, nor the other way round.
    sent = pb.AcceptMessageRequest(user_id=ALICE, thread_id=first.id, content="hi", idempotency_key="k")
    assert await _refused(service.stub.AcceptMessage(sent)) is Code.IDEMPOTENCY_MISMATCH
    await service.accept(first.id, "hi", idempotency_key="m")
    assert await _refused(create(idempotency_key="m")) is Code.IDEMPOTENCY_MISMATCH
    assert len(await service.rows("threads")) == 3


async def test_a_thread_that_was_deleted_since_is_not_made_again_and_takes_its_key_with_it(service: Service) -> None:
    first = await _made(service, idempotency_key="k")
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=first.id))
    request = pb.CreateThreadRequest(user_id=ALICE, title="Trip", idempotency_key="k")
    assert await _refused(service.stub.CreateThread(request)) is Code.THREAD_NOT_FOUND
    assert await service.rows("threads") == []
    while await service.rows("deletions"):
        await finish_deletions(service.lifetime)
    assert await service.rows("idempotency_keys") == []


async def test_a_fork_is_made_once_whatever_became_of_the_other_thread(service: Service) -> None:
    service.record()
    thread = await service.thread()
    accepted = await service.accept(thread, "one")
    await (await Worker.take(service, thread, accepted)).end()

    async def recorded() -> bool:
        run = await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=accepted.run_id))
        return run.run.status == "complete"

    await until(recorded)
    request = pb.ForkThreadRequest(
        user_id=ALICE, thread_id=thread, message_id=accepted.assistant_message_id, idempotency_key="k"
    )
    forks = [(await reply).thread.id for reply in [service.stub.ForkThread(request) for _ in range(3)]]
    assert len(set(forks)) == 1
    other = pb.ForkThreadRequest(user_id=ALICE, thread_id=thread, message_id=accepted.message_id, idempotency_key="k")
    assert await _refused(service.stub.ForkThread(other)) is Code.IDEMPOTENCY_MISMATCH
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread))
    assert (await service.stub.ForkThread(request)).thread.id == forks[0]
    assert [row["_id"] for row in await service.rows("threads")] == forks[:1]
    assert len(await service.rows("messages")) == 2


async def test_a_schedule_is_made_once_and_not_again_when_it_was_deleted(service: Service) -> None:
    thread = await service.thread()
    request = pb.CreateScheduleRequest(
        user_id=ALICE, thread_id=thread, cron="0 9 * * *", content="Good morning", idempotency_key="k"
    )
    made = [(await reply).schedule for reply in [service.stub.CreateSchedule(request) for _ in range(3)]]
    assert len({schedule.id for schedule in made}) == 1
    assert len(await service.rows("schedules")) == 1
    later = pb.CreateScheduleRequest(
        user_id=ALICE, thread_id=thread, cron="0 10 * * *", content="Good morning", idempotency_key="k"
    )
    assert await _refused(service.stub.CreateSchedule(later)) is Code.IDEMPOTENCY_MISMATCH
    gone = pb.DeleteScheduleRequest(user_id=ALICE, thread_id=thread, schedule_id=made[0].id)
    await service.stub.DeleteSchedule(gone)
    assert await _refused(service.stub.CreateSchedule(request)) is Code.SCHEDULE_NOT_FOUND
    assert await service.rows("schedules") == []
