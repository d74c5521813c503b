"""A deleted thread leaves nothing, however often its deletion dies on the way; threads are kept as long as the settings say."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from bus.errors import UnavailableError
from contracts.facts import FeedEntry
from contracts.ids import RUN, new_id
from contracts.presence import Presence, encode_presence
from contracts.subjects import (
    dead_letter_subject,
    execute_subject,
    fact_subject,
    feed_subject,
    presence_subject,
    run_subject,
    timer_subject,
)
from contracts.topology import EXECUTE
from conversation.adapters.mongo_graves import MongoGraves
from conversation.domain.deletion import Deletion
from conversation.domain.shadows import shadow_thread
from conversation.handlers.finish_deletions import finish_deletions
from conversation.handlers.retire_threads import retire_threads
from msgspec import json
from rpc.v1 import conversation_pb2 as pb
from rpc.v1 import sharing_pb2 as sh

from tests.integration.conversation.replica import ALICE, BOB, Service, until
from tests.integration.conversation.test_sharing import invite, join, refused

CANARY = "canary-7f3a9c"


async def everything(service: Service) -> str:
    """All that MongoDB and the broker hold, as text."""
    found: list[str] = []
    for name in await service.database.collection("threads").database.list_collection_names():
        found += [f"{name}: {row}" for row in await service.rows(name)]
    for name, stream in service.bus.broker.streams.items():
        found += [
            f"{name}: {stored.entry.subject} {stored.entry.data!r} {dict(stored.headers)}"
            for stored in stream.entries.values()
        ]
    return "\n".join(found)


async def full_thread(service: Service) -> tuple[str, str]:
    """A thread that has left its traces everywhere, and an answer that is still under way."""
    thread = await service.thread(ALICE, title=f"About {CANARY}")
    await join(service, await invite(service, thread, "viewer", max_uses=2), BOB)
    run = (await service.accept(thread, f"Tell me of {CANARY}", idempotency_key=CANARY)).run_id
    bus = service.bus
    claim = await bus.run_log.claim(thread, run, worker="w", delivery="", after=None)
    await bus.run_log.append(claim, 1, f'{{"type":"text.delta","delta":"{CANARY}"}}'.encode())
    await bus.publish(
        dead_letter_subject(EXECUTE.stream, EXECUTE.name),
        json.encode({"thread_id": thread, "x": CANARY}),
        message_id="d",
    )
    moment = service.parts.now() + timedelta(hours=1)
    await bus.schedule(timer_subject("run", run), at=moment, target="timer.due.run." + run, data=CANARY.encode())
    shadow = new_id(RUN)
    row = {"_id": shadow, "served_run_id": run, "clear_at": moment, "created_at": moment}
    await service.database.collection("shadows").insert_one(row)
    await bus.publish(run_subject(shadow_thread(shadow), shadow, "event"), CANARY.encode(), message_id="shadow")
    presence = encode_presence(Presence(at=CANARY, connections=1))
    await bus.publish(presence_subject(thread, BOB, "gateway-1"), presence, message_id="p")
    for user in (ALICE, BOB):
        entry = FeedEntry(id=f"{user}1", type="run.completed", thread_id=thread, at="", preview=CANARY)
        await bus.publish(feed_subject(user), json.encode(entry), message_id=f"{user}1")
    other = FeedEntry(id="other", type="run.completed", thread_id="thr_other", at="", preview="stays")
    await bus.publish(feed_subject(BOB), json.encode(other), message_id="other")
    await until(lambda: any(subject == execute_subject(run) for subject, _ in service.published("COMMANDS")))
    return thread, run


async def deleted(service: Service, thread: str) -> None:
    await service.stub.DeleteThread(pb.DeleteThreadRequest(user_id=ALICE, thread_id=thread))
    await until(lambda: (fact_subject(thread, "thread.deleted")) in dict(service.published("THREADS")))


async def test_nothing_of_a_deleted_thread_is_left_anywhere(service: Service) -> None:
    thread, run = await full_thread(service)
    removed = sh.RemoveMemberRequest(user_id=ALICE, thread_id=thread, member_id=BOB)
    await service.sharing.RemoveMember(removed)
    kept = await service.accept(await service.thread(ALICE, title="Stays"), "Another")
    assert (await everything(service)).count(CANARY) > 10
    await deleted(service, thread)
    assert await finish_deletions(service.lifetime) == 1
    # What was on its way when the thread went: an end just recorded, told behind the first pass.
    await service.bus.publish(fact_subject(thread, "run.ended"), CANARY.encode(), message_id="late")
    await service.bus.run_log.append_command(thread, run, CANARY.encode(), message_id="late command")
    assert await finish_deletions(service.lifetime) == 1
    assert await finish_deletions(service.lifetime) == 0
    await service.relay.sweep()
    left = await everything(service)
    assert CANARY not in left
    assert [line for line in left.splitlines() if thread in line and "thread.deleted" not in line] == []
    assert await service.rows("deletions") == []
    assert "stays" in left
    assert kept.run_id in left
    assert await service.bus.last_of("RUNS", run_subject(thread, run, "claim")) is None


async def test_a_deletion_that_dies_is_carried_on(service: Service) -> None:
    thread, _ = await full_thread(service)
    await deleted(service, thread)
    service.bus.reachable = False
    with pytest.raises(UnavailableError):
        await finish_deletions(service.lifetime)
    service.bus.reachable = True
    # Somebody has it: nobody else takes it up before the lease is over.
    assert await finish_deletions(service.lifetime) == 0
    later = dataclasses.replace(service.lifetime, now=lambda: service.parts.now() + timedelta(minutes=2))
    assert await finish_deletions(later) == 1
    assert await finish_deletions(later) == 1
    assert CANARY not in await everything(service)


async def test_a_long_thread_goes_piece_by_piece(service: Service) -> None:
    thread, _ = await full_thread(service)
    now = service.parts.now()
    message = (await service.rows("messages"))[0]
    await service.database.collection("messages").insert_many(
        [message | {"_id": f"msg_{number}", "position": 10 + number} for number in range(700)]
    )
    await service.database.collection("threads").update_one({"_id": thread}, {"$set": {"length": 5000}})
    await deleted(service, thread)
    assert (await refused(service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread))))[1]
    assert len(await service.rows("messages")) > 600
    graves = MongoGraves(service.database)
    (deletion,) = await graves.due(now + timedelta(minutes=1), 10)
    assert isinstance(deletion, Deletion)
    assert await graves.clear(deletion) == 500
    while await finish_deletions(service.lifetime):
        pass
    assert await service.rows("messages") == []


async def test_threads_are_kept_as_long_as_their_kind_says(service: Service) -> None:
    now = service.parts.now()

    async def made(kind: str, age: timedelta) -> str:
        reply = await service.stub.CreateThread(pb.CreateThreadRequest(user_id=ALICE, kind=kind))
        changes: dict[str, Any] = {"$set": {"updated_at": now - age}}
        await service.database.collection("threads").update_one({"_id": reply.thread.id}, changes)
        return reply.thread.id

    old_temporary, new_temporary = (
        await made("temporary", timedelta(days=2)),
        await made("temporary", timedelta(hours=1)),
    )
    old_normal, running = await made("", timedelta(days=40)), await made("temporary", timedelta(days=2))
    await service.accept(running)
    await service.database.collection("threads").update_one(
        {"_id": running}, {"$set": {"updated_at": now - timedelta(days=2)}}
    )
    kept = dataclasses.replace(service.lifetime, kept={"temporary": timedelta(days=1)})
    assert await retire_threads(kept, "") == ("", 1)
    assert {row["_id"] for row in await service.rows("threads")} == {new_temporary, old_normal, running}
    assert await retire_threads(kept, "") == ("", 0)
    assert await retire_threads(service.lifetime, "") == ("", 0)
    both = dataclasses.replace(kept, kept={"temporary": timedelta(days=1), "normal": timedelta(days=30)})
    assert (await retire_threads(both, ""))[1] == 1
    while await finish_deletions(service.lifetime):
        pass
    assert old_temporary not in {row["thread_id"] for row in await service.rows("messages")}
    assert {row["_id"] for row in await service.rows("threads")} == {new_temporary, running}
