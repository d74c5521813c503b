"""What a crash, a broker that is away and a database that is killed leave behind: nothing lost, nothing doubled."""

import asyncio
from datetime import timedelta

import grpc
import pytest
from bus.api import Delivery, Done, RetryLater
from contracts.codes import Code
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.subjects import run_subject
from conversation.entrypoints.record_subscriber import RecordSubscriber
from conversation.handlers.revive_runs import revive_runs
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of
from store.database import Transaction
from store.errors import StoreUnavailableError

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, Service, until
from tests.servers import MongoServer


async def _commands(service: Service) -> list[str]:
    return [subject for subject, _ in service.published("COMMANDS")]


async def test_what_a_crash_left_between_commit_and_publish_is_swept_by_another(start: StartService) -> None:
    crashed = await start(relaying=False)
    threads = [await crashed.thread() for _ in range(5)]
    runs = [(await crashed.accept(thread)).run_id for thread in threads]
    assert await _commands(crashed) == []
    others = [await start(), await start()]
    for other in others:
        other.background(other.relay.run())

    async def swept() -> bool:
        return await crashed.rows("outbox") == []

    await until(swept)
    assert await _commands(crashed) == [f"cmd.run.{run}.execute" for run in runs]
    facts = [subject.split(".", 2)[2] for subject, _ in crashed.published("THREADS")]
    assert facts == ["thread.created"] * 5 + ["message.accepted", "thread.updated"] * 5
    assert others[0].relay.oldest_age == 0


async def test_a_row_that_was_published_and_not_deleted_is_published_once(start: StartService) -> None:
    crashed = await start(relaying=False)
    await crashed.thread()
    rows = await crashed.rows("outbox")
    other = await start()
    await asyncio.sleep(0.4)
    assert await other.relay.sweep() == 1
    await crashed.database.collection("outbox").insert_many(rows)
    assert await crashed.relay.sweep() == 1
    assert len(crashed.published("THREADS")) == 1


async def test_messages_are_accepted_while_the_broker_is_away_and_all_of_them_are_told_afterwards(
    service: Service,
) -> None:
    threads = [await service.thread() for _ in range(20)]
    service.bus.reachable = False
    service.background(service.relay.run())
    runs = {(await service.accept(thread)).run_id for thread in threads}
    await until(lambda: service.relay.oldest_age > 0.5)
    assert await _commands(service) == []
    service.bus.reachable = True
    await until(lambda: len(service.published("COMMANDS")) == 20)
    assert {subject.split(".")[2] for subject in await _commands(service)} == runs

    async def swept() -> bool:
        return await service.rows("outbox") == [] and service.relay.oldest_age == 0

    await until(swept)


async def test_acknowledged_messages_survive_the_death_of_the_database(
    own_mongo: MongoServer, start: StartService
) -> None:
    service = await start(own_mongo)
    acknowledged: list[str] = []
    refused: list[Code] = []
    stop = asyncio.Event()

    async def send(sender: int) -> None:
        n = 0
        while not stop.is_set():
            n += 1
            try:
                own = await service.thread()
                reply = await service.accept(own, f"m{n}", idempotency_key=f"{sender}-{n}")
                acknowledged.append(reply.run_id)
            except grpc.aio.AioRpcError as error:
                refused.append(code_of(error)[0])

    senders = [asyncio.create_task(send(n)) for n in range(3)]
    await until(lambda: len(acknowledged) > 30)
    await asyncio.to_thread(own_mongo.kill)
    await until(lambda: len(refused) > 0, 30)
    assert not await service.database.answers()
    await asyncio.to_thread(own_mongo.start)
    before = len(acknowledged)
    await until(lambda: len(acknowledged) > before + 10, 30)
    stop.set()
    await asyncio.gather(*senders)
    assert set(refused) == {Code.UNAVAILABLE}
    runs = {row["_id"] for row in await service.rows("runs")}
    assert set(acknowledged) <= runs
    # All of an acceptance or nothing of it: two messages per run, and a command for each.
    messages = await service.rows("messages")
    assert sorted(row["run_id"] for row in messages) == sorted([*runs, *runs])
    service.background(service.relay.run())
    await until(lambda: len(service.published("COMMANDS")) == len(runs))


async def test_a_repeated_request_after_an_unknown_outcome_is_stored_once(
    own_mongo: MongoServer, start: StartService
) -> None:
    service = await start(own_mongo)
    thread = await service.thread()
    # The commit happens and its acknowledgement is lost, over and over: the driver repeats the commit, not the work.
    client = service.database.collection("x").database.client
    await client.admin.command(
        "configureFailPoint",
        "failCommand",
        mode={"times": 2},
        data={"failCommands": ["commitTransaction"], "closeConnection": True},
    )
    first = await service.accept(thread, "once", idempotency_key="k")
    again = await service.accept(thread, "once", idempotency_key="k")
    assert again.run_id == first.run_id
    assert len(await service.rows("messages")) == 2


async def test_a_database_that_cannot_write_is_unavailable_and_a_snapshot_waits(
    own_mongo: MongoServer, start: StartService
) -> None:
    service = await start(own_mongo)
    thread = await service.thread()
    accepted = await service.accept(thread)
    client = service.database.collection("x").database.client
    failing = {"failCommands": ["update", "insert", "find", "findAndModify"], "errorCode": 10107}
    await client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=failing)
    record = RecordSubscriber(service.parts)
    state = RunState(
        run_id=accepted.run_id,
        thread_id=thread,
        message_id=accepted.assistant_message_id,
        status="generating",
        sequence=3,
    )
    delivery = Delivery(
        run_subject(thread, accepted.run_id, "snapshot"),
        encode_snapshot(Snapshot(state=state, stream_sequence=1)),
        1,
        1,
        "",
    )
    refused, outcome, swept = await asyncio.gather(
        service.accept(thread), record(delivery), service.relay.sweep(), return_exceptions=True
    )
    assert isinstance(refused, grpc.aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert code_of(refused)[0] is Code.UNAVAILABLE
    assert isinstance(outcome, RetryLater)
    assert isinstance(swept, StoreUnavailableError)
    await client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert await record(delivery) == Done()


async def _age(service: Service, run: str, by: timedelta, **more: object) -> None:
    moved = service.parts.now() - by
    await service.database.collection("runs").update_one({"_id": run}, {"$set": {"check_at": moved, **more}})


async def test_a_run_whose_command_was_lost_with_the_brokers_data_is_revived(start: StartService) -> None:
    services = [await start(), await start()]
    thread = await services[0].thread()
    run = (await services[0].accept(thread)).run_id
    await until(lambda: len(services[0].published("COMMANDS")) == 1)
    await _age(services[0], run, timedelta(seconds=1))
    assert (await revive_runs(services[0].parts))["wait"] == 1
    services[0].bus.broker.streams["COMMANDS"].remove(lambda stored: True)
    await _age(services[0], run, timedelta(seconds=1))
    await asyncio.gather(*(revive_runs(service.parts) for service in services))
    await until(lambda: len(services[0].published("COMMANDS")) == 1)
    (row,) = await services[0].rows("runs")
    assert row["revivals"] == 1
    assert row["check_at"] > services[0].parts.now()
    assert (await revive_runs(services[1].parts)) == {"wait": 0, "start": 0, "revive": 0, "fail": 0}


async def test_a_run_revived_too_often_ends_as_orphaned_in_its_log_and_in_the_store(service: Service) -> None:
    service.record()
    thread = await service.thread()
    accepted = await service.accept(thread)
    await until(lambda: len(service.published("COMMANDS")) == 1)
    service.bus.broker.streams["COMMANDS"].remove(lambda stored: True)
    await _age(service, accepted.run_id, timedelta(seconds=1), revivals=5)
    assert (await revive_runs(service.parts))["fail"] == 1

    async def failed() -> bool:
        reply = await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=accepted.run_id))
        return (reply.run.status, reply.run.error_code) == ("error", "orphaned")

    await until(failed)
    log = [data async for data in service.bus.run_log.read(run_subject(thread, accepted.run_id, "event"))]
    assert [b'"run.started"' in log[0].data, b'"run.failed"' in log[1].data, len(log)] == [True, True, 2]
    assert (await revive_runs(service.parts)) == {"wait": 0, "start": 0, "revive": 0, "fail": 0}


async def test_what_a_killed_process_had_locked_is_free_once_its_successor_starts(start: StartService) -> None:
    # The other one lives and has a name of its own: no two that live share one.
    killed, successor, other = await start(), await start(), await start(application="other")
    thread = await killed.thread()
    locked = asyncio.Event()

    async def hang(transaction: Transaction) -> None:
        threads = killed.database.collection("threads")
        await threads.update_one({"_id": thread}, {"$set": {"title": "lost"}}, session=transaction.session)
        locked.set()
        await asyncio.Event().wait()

    hanging = asyncio.create_task(killed.database.transaction(hang))
    await locked.wait()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await other.accept(thread)
    assert code_of(caught.value)[0] is Code.UNAVAILABLE
    assert await successor.database.end_predecessors() > 0
    assert (await other.accept(thread, "Free again")).run_id
    assert [row["title"] for row in await other.rows("threads")] == ["Free again"]
    assert await successor.database.end_predecessors() == 0
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
