"""Threads over gRPC: pages, changes, deletion, ownership."""

import asyncio
from typing import Any

import grpc
import pytest
from contracts.codes import Code
from contracts.ids import THREAD, new_id
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of

from tests.integration.conversation.replica import ALICE, BOB, Service, until


async def refusal(call: grpc.aio.UnaryUnaryCall[Any, Any]) -> Code:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return code_of(caught.value)[0]


async def _titles(service: Service, limit: int, **more: bool) -> list[list[str]]:
    pages, cursor = [], ""
    while True:
        request = pb.ListThreadsRequest(user_id=ALICE, limit=limit, cursor=cursor, **more)
        reply = await service.stub.ListThreads(request)
        pages.append([thread.title for thread in reply.items])
        cursor = reply.next_cursor
        if not cursor:
            return pages


async def test_a_thread_comes_back_as_it_was_created(service: Service) -> None:
    request = pb.CreateThreadRequest(user_id=ALICE, title="  Trip  to\nRome ", tags=["a", "b", "a"])
    created = (await service.stub.CreateThread(request)).thread
    found = (await service.stub.GetThread(pb.GetThreadRequest(user_id=ALICE, thread_id=created.id))).thread
    assert found == created
    assert (found.title, list(found.tags)) == ("Trip to Rome", ["a", "b"])
    assert [row["_id"] for row in await service.rows("users")] == [ALICE]


async def test_pages_hold_each_thread_once_pinned_first_then_updated_last(service: Service) -> None:
    ids = [await service.thread(title=f"t{n}") for n in range(9)]
    await service.thread(BOB, "not Alice's")
    for n in (2, 5):
        await service.stub.UpdateThread(pb.UpdateThreadRequest(user_id=ALICE, thread_id=ids[n], pinned=True))
    await service.stub.UpdateThread(pb.UpdateThreadRequest(user_id=ALICE, thread_id=ids[0], starred=True))
    expected = ["t5", "t2", "t0", "t8", "t7", "t6", "t4", "t3", "t1"]
    for limit in (1, 2, 3, 4, 9, 10):
        pages = await _titles(service, limit)
        assert [title for page in pages for title in page] == expected
        assert all(len(page) == limit for page in pages[:-1])


async def test_threads_updated_in_the_same_millisecond_are_all_listed(service: Service) -> None:
    await asyncio.gather(*(service.thread(title=f"t{n}") for n in range(12)))
    threads = service.database.collection("threads")
    await threads.update_many({}, {"$set": {"updated_at": service.parts.now()}})
    pages = await _titles(service, 5)
    assert sorted(title for page in pages for title in page) == sorted(f"t{n}" for n in range(12))


async def test_archived_threads_are_listed_apart(service: Service) -> None:
    first, _ = await service.thread(title="old"), await service.thread(title="new")
    await service.stub.UpdateThread(pb.UpdateThreadRequest(user_id=ALICE, thread_id=first, archived=True))
    assert await _titles(service, 10, archived=True) == [["old"]]
    assert await _titles(service, 10, archived=False) == [["new"]]
    assert await _titles(service, 10) == [["old", "new"]]


async def test_a_change_is_told_once_and_no_change_is_not_told(service: Service) -> None:
    thread = await service.thread(title="a")
    for _ in range(2):
        request = pb.UpdateThreadRequest(user_id=ALICE, thread_id=thread, title="b", tags=pb.UpdateThreadRequest.Tags())
        reply = await service.stub.UpdateThread(request)
    assert reply.thread.title == "b"
    await until(lambda: len(service.published("THREADS")) == 2)
    subject, data = service.published("THREADS")[1]
    assert subject == f"thread.{thread}.thread.updated"
    assert b'"changes":{"title":"b"}' in data


async def test_deleting_a_thread_deletes_all_of_it_and_its_log(service: Service) -> None:
    thread, other = await service.thread(), await service.thread()
    run = (await service.accept(thread)).run_id
    await service.accept(other)
    log = service.bus.run_log
    await log.claim(thread, run, worker="w", delivery="", after=None)
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread))
    assert [row["thread_id"] for row in await service.rows("messages")] == [other, other]
    assert [row["thread_id"] for row in await service.rows("runs")] == [other]
    told = f"thread.{thread}.thread.deleted"
    await until(lambda: told in [subject for subject, _ in service.published("THREADS")])
    assert await log.holder(thread, run) is None
    again = service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread))
    assert await refusal(again) is Code.THREAD_NOT_FOUND


async def test_a_strangers_thread_does_not_exist(service: Service) -> None:
    thread = await service.thread()
    accepted = await service.accept(thread)
    stub = service.stub
    for call in (
        stub.GetThread(pb.GetThreadRequest(user_id=BOB, thread_id=thread)),
        stub.UpdateThread(pb.UpdateThreadRequest(user_id=BOB, thread_id=thread, title="mine")),
        stub.DeleteThread(pb.DeleteThreadRequest(user_id=BOB, thread_id=thread)),
        stub.ListMessages(pb.ListMessagesRequest(user_id=BOB, thread_id=thread)),
        stub.AcceptMessage(pb.AcceptMessageRequest(user_id=BOB, thread_id=thread, content="hi")),
        stub.GetThread(pb.GetThreadRequest(user_id=ALICE, thread_id=new_id(THREAD))),
        stub.GetThread(pb.GetThreadRequest(user_id=ALICE, thread_id="thr_*.>")),
    ):
        assert await refusal(call) is Code.THREAD_NOT_FOUND
    other = stub.GetRun(pb.GetRunRequest(user_id=BOB, run_id=accepted.run_id))
    assert await refusal(other) is Code.RUN_NOT_FOUND
    assert len(await service.rows("messages")) == 2


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (pb.ListThreadsRequest(user_id=ALICE, cursor="nonsense"), Code.CURSOR_INVALID),
        (pb.ListThreadsRequest(user_id=ALICE, cursor="WyJtIiwxXQ"), Code.CURSOR_INVALID),
        (pb.ListThreadsRequest(user_id="nobody"), Code.BODY_INVALID),
        (pb.CreateThreadRequest(user_id=ALICE, title="x" * 201), Code.BODY_INVALID),
        (pb.CreateThreadRequest(user_id=ALICE, tags=[" "]), Code.BODY_INVALID),
        (pb.CreateThreadRequest(user_id=ALICE, model="openai:nothing"), Code.MODEL_UNKNOWN),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_stored(
    service: Service, request_: "pb.ListThreadsRequest | pb.CreateThreadRequest", code: Code
) -> None:
    call = (
        service.stub.ListThreads(request_)
        if isinstance(request_, pb.ListThreadsRequest)
        else service.stub.CreateThread(request_)
    )
    assert await refusal(call) is code
    assert await service.rows("threads") == []
    assert await service.rows("users") == []
