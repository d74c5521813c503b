"""What administrators see and do of all users, over gRPC and a real database."""

from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from contracts.codes import Code
from contracts.ids import RUN, new_id
from conversation.domain.operations import DeadLetter
from rpc.v1 import conversation_pb2 as pb
from rpc.v1 import operations_pb2 as op
from runtime.rpc import code_of

from tests.integration.conversation.replica import ALICE, BOB, Service


async def refused(call: Awaitable[Any]) -> Code:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return code_of(error.value)[0]


async def ids(service: Service, **which: Any) -> list[str]:
    """Every page's runs."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await service.operations.ListAllRuns(op.ListAllRunsRequest(cursor=cursor, limit=2, **which))
        assert len(page.items) <= 2
        found += [run.id for run in page.items]
        cursor = page.next_cursor
        if not cursor:
            return found


async def three_runs(service: Service) -> list[str]:
    """Alice's first, which waits, her second, which failed, and Bob's, which nobody has begun."""
    first = await service.accept(await service.thread())
    second = await service.accept(await service.thread())
    request = pb.AcceptMessageRequest(user_id=BOB, thread_id=await service.thread(BOB), content="Psst")
    third = await service.stub.AcceptMessage(request)
    await service.database.collection("messages").update_one(
        {"_id": first.assistant_message_id}, {"$set": {"status": "generating", "waiting": True}}
    )
    await service.database.collection("runs").update_one(
        {"_id": second.run_id},
        {
            "$set": {
                "status": "error",
                "ended_at": service.parts.now(),
                "error_code": "deadline",
                "attempts": 2,
                "cost_microusd": 7,
            },
            "$unset": {"check_at": ""},
        },
    )
    return [first.run_id, second.run_id, third.run_id]


async def test_runs_of_all_users_newest_first_with_filters_and_pages(service: Service) -> None:
    first, second, third = await three_runs(service)
    assert await ids(service) == [third, second, first]
    assert await ids(service, status="waiting") == [first]
    assert await ids(service, status="pending") == [third]
    assert await ids(service, status="generating") == []
    assert await ids(service, status="error") == [second]
    assert await ids(service, user_id=BOB) == [third]
    assert await ids(service, user_id=ALICE, path="durable_event") == [second, first]
    assert await ids(service, model="none:such") == await ids(service, agent="nobody") == []
    assert await ids(service, since="2020-01-01T00:00:00Z") == [third, second, first]
    assert await ids(service, since="2999-01-01T00:00:00+00:00") == []
    page = await service.operations.ListAllRuns(op.ListAllRunsRequest(status="error"))
    (failed,) = page.items
    assert (failed.user_id, failed.attempts, failed.cost_microusd, failed.error_code) == (ALICE, 2, 7, "deadline")
    assert failed.ended_at > failed.created_at
    for wrong in (
        op.ListAllRunsRequest(since="yesterday"),
        op.ListAllRunsRequest(since="2026-01-01"),
        op.ListAllRunsRequest(status="odd"),
        op.ListAllRunsRequest(user_id="ada"),
    ):
        assert await refused(service.operations.ListAllRuns(wrong)) == Code.QUERY_INVALID
    for cursor in ("x", "WyJ0IiwxXQ"):
        call = service.operations.ListAllRuns(op.ListAllRunsRequest(cursor=cursor))
        assert await refused(call) == Code.CURSOR_INVALID


async def test_one_run_and_the_counts(service: Service) -> None:
    first, second, third = await three_runs(service)
    runs = [(await service.operations.GetAnyRun(op.GetAnyRunRequest(run_id=id))).run for id in (first, second, third)]
    assert [(run.status, run.author) for run in runs] == [("waiting", ALICE), ("error", ALICE), ("pending", BOB)]
    for unknown in (new_id(RUN), "run_x"):
        call = service.operations.GetAnyRun(op.GetAnyRunRequest(run_id=unknown))
        assert await refused(call) == Code.RUN_NOT_FOUND
    counts = await service.operations.CountRuns(op.CountRunsRequest())
    assert (counts.pending, counts.generating, counts.waiting) == (1, 0, 1)
    assert (counts.ended_last_hour, counts.failed_last_hour) == (1, 1)


async def test_dead_letters_are_sent_again_once_and_never_into_the_run_log(service: Service) -> None:
    for id, stream in ((1, "COMMANDS"), (2, "RUNS"), (3, "ADVISORIES")):
        service.letters.kept[id] = DeadLetter(
            id=id, consumer="c", stream=stream, subject="s", reason="no", delivered=3, at="2026-11-21T00:00:00.000Z"
        )
    found = (await service.operations.ListDeadLetters(op.ListDeadLettersRequest(limit=2))).items
    assert [(letter.sequence, letter.stream) for letter in found] == [(3, "ADVISORIES"), (2, "RUNS")]
    for id in (2, 3):
        call = service.operations.RetryDeadLetter(op.RetryDeadLetterRequest(sequence=id))
        assert await refused(call) == Code.DEAD_LETTER_NOT_REPEATABLE
    await service.operations.RetryDeadLetter(op.RetryDeadLetterRequest(sequence=1))
    for id in (1, 0, -4):
        call = service.operations.RetryDeadLetter(op.RetryDeadLetterRequest(sequence=id))
        assert await refused(call) == Code.NOT_FOUND
    assert sorted(service.letters.kept) == [2, 3]
