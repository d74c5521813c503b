"""Appends of internal services: stored once, in their place, told to who asked, refused with the reason."""

import asyncio
from typing import Any

import msgspec
import pytest
from bus.api import Delivery, Done, Outcome
from contracts.commands import AppendOutcome, AppendToThread
from contracts.parts import TextPart, ToolCallPart
from contracts.subjects import append_subject, thread_events_subject
from contracts.topology import APPEND
from conversation.entrypoints.append_subscriber import AppendSubscriber
from rpc.v1 import conversation_pb2 as pb

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, BOB, Service, until

REPLY = "_INBOX_app.1"


@pytest.fixture
async def service(start: StartService) -> Service:
    replica = await start()
    replica.background(replica.bus.consume(APPEND, AppendSubscriber(replica.parts, replica.bus), concurrency=4))
    return replica


async def append(service: Service, thread: str, name: str = "n1", /, **fields: Any) -> AppendOutcome:
    """Publish one append and hear what became of it."""
    heard = len(service.bus.broker.told)
    command = AppendToThread(**({"user_id": ALICE, "service": "orders", "text": "Shipped."} | fields))
    headers = {"Everthread-Reply": REPLY, "Everthread-Idempotency-Key": name}
    sent = f"{name}:{heard}"
    await service.bus.publish(append_subject(thread), msgspec.json.encode(command), message_id=sent, headers=headers)
    await until(lambda: len(service.bus.broker.told) > heard)
    subject, data = service.bus.broker.told[-1]
    assert subject == REPLY
    return msgspec.json.decode(data, type=AppendOutcome)


async def test_an_event_stands_in_the_thread_and_the_model_hears_of_it(service: Service) -> None:
    thread = await service.thread()
    first = await service.accept(thread, "Where is my parcel?")
    outcome = await append(service, thread, event="order.shipped", text="Your parcel has left Rome.", data={"n": 7})
    assert outcome == AppendOutcome(accepted=True, message_id=outcome.message_id)
    again = await append(service, thread, event="order.shipped", text="Your parcel has left Rome.", data={"n": 7})
    assert (again.message_id, again.repeated) == (outcome.message_id, True)
    asked = await service.accept(thread, "And now?")
    listed = (await service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread))).items
    assert [message.role for message in listed] == ["user", "assistant", "tool", "user", "assistant"]
    stored = listed[2]
    assert (stored.id, stored.content, stored.status) == (outcome.message_id, "Your parcel has left Rome.", "complete")
    assert stored.parent_message_id == first.assistant_message_id
    call, text = msgspec.json.decode(stored.parts_json)
    assert (call["name"], call["output"], text["text"]) == ("order.shipped", {"n": 7}, stored.content)
    seen = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=asked.run_id))
    assert ("user", "[order.shipped] Your parcel has left Rome.") in [(one.role, one.content) for one in seen.messages]
    await until(lambda: any(b'"head":"%b"' % stored.id.encode() in data for _, data in service.published("THREADS")))


async def branch(service: Service, thread: str, branch: str = "active") -> list[str]:
    """What of a thread is on a branch, as people read it."""
    listed = await service.stub.ListMessages(pb.ListMessagesRequest(user_id=ALICE, thread_id=thread, branch=branch))
    return [message.content for message in listed.items if message.role != "assistant"]


async def test_who_continues_an_answer_continues_behind_what_services_appended_to_it(service: Service) -> None:
    thread = await service.thread()
    first = await service.accept(thread, "Where is my parcel?")
    await append(service, thread, "n1", event="order.shipped", text="It has left Rome.")
    asked = await append(service, thread, "n2", text="Tell them that it is late.", answer=True)
    last = await append(service, thread, "n3", event="order.late", text="It is late.")
    # A page that has heard of none of them names the last answer it has.
    second = await service.accept(thread, "And now?", parent_message_id=first.assistant_message_id)
    stored = await service.parts.records.message(second.message_id)
    assert stored is not None
    assert stored.parent_message_id == last.message_id
    seen = ["Where is my parcel?", "It has left Rome.", "Tell them that it is late.", "It is late.", "And now?"]
    assert await branch(service, thread) == seen
    assert len((await service.stub.ListBranches(pb.ListBranchesRequest(user_id=ALICE, thread_id=thread))).items) == 1
    sent = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=second.run_id))
    said = [message.content for message in sent.messages]
    assert said[1:] == ["[order.shipped] It has left Rome.", seen[2], "[order.late] It is late.", "And now?"]
    # It edits that question: still behind them, beside the first wording, which is no service's.
    edited = await service.accept(thread, "And today?", parent_message_id=first.assistant_message_id)
    assert await branch(service, thread) == [*seen[:-1], "And today?"]
    assert await branch(service, thread, second.message_id) == seen
    # What is appended while an answer is written stands behind it, and so before what is sent next.
    await append(service, thread, "n4", event="order.found", text="It is found.")
    await service.accept(thread, "Thanks!", parent_message_id=edited.assistant_message_id)
    assert (await branch(service, thread))[-3:] == ["And today?", "It is found.", "Thanks!"]
    assert asked.assistant_message_id in {
        stub.id for stub in await service.parts.records.stubs(thread) if stub.parent_id == asked.message_id
    }


async def test_a_way_along_many_appends_takes_no_more_commands_than_along_one(service: Service) -> None:
    thread = await service.thread()
    first = await service.accept(thread, "Where is my parcel?")

    async def continued() -> tuple[int, str]:
        sent = len(service.commands.sent)
        accepted = await service.accept(thread, "And now?", parent_message_id=first.assistant_message_id)
        counted = [name for name, collection in service.commands.sent[sent:] if collection == "messages"]
        stored = await service.parts.records.message(accepted.message_id)
        assert stored is not None
        return len(counted), stored.parent_message_id

    await append(service, thread, "asked", text="Tell them that it is late.", answer=True)
    of_few, _ = await continued()
    await service.database.collection("messages").delete_many({"thread_id": thread, "content": "And now?"})
    before = (await service.rows("messages"))[-1]
    asked = await service.database.collection("messages").find_one({"service": "orders"})
    assert asked is not None
    answer = await service.database.collection("messages").find_one({"parent_message_id": asked["_id"]})
    assert answer is not None
    parent, position = answer["_id"], before["position"] + 100
    told = TextPart(text="Here.")
    rows = []
    for number in range(300):
        row = answer | {"_id": f"{thread}:{number}", "role": "tool", "run_id": "", "parent_message_id": parent}
        parts = msgspec.json.encode([ToolCallPart(tool_call_id="c", name="at", state="completed"), told]).decode()
        rows.append(row | {"position": position + number, "parts": parts, "status": "complete"})
        parent = row["_id"]
    # A client's results are a person's, and so is what is behind them.
    results = msgspec.json.encode([ToolCallPart(tool_call_id="c", name="at", state="completed")]).decode()
    last = rows[-1] | {"_id": f"{thread}:results", "position": position + 300, "parts": results}
    await service.database.collection("messages").insert_many([*rows, last | {"parent_message_id": parent}])
    await service.database.collection("threads").update_one({"_id": thread}, {"$set": {"length": position + 300}})
    assert await continued() == (of_few, parent)


async def test_a_first_message_that_is_edited_stays_behind_what_came_before_it(service: Service) -> None:
    thread = await service.thread()
    await append(service, thread, event="order.placed", text="Ordered.")
    await service.accept(thread, "When does it come?")
    await service.accept(thread, "When will it be here?", from_root=True)
    assert await branch(service, thread) == ["Ordered.", "When will it be here?"]
    # A client that brings its own history has said what stands before the message.
    own = [pb.InputMessage(role="user", content="Hi"), pb.InputMessage(role="assistant", content="Hello")]
    await service.accept(thread, "Where is it?", from_root=True, history=own)
    assert await branch(service, thread) == ["Hi", "Where is it?"]


async def test_an_append_that_wants_an_answer_begins_a_run(service: Service) -> None:
    thread = await service.thread()
    outcome = await append(service, thread, text="Say hello to the new member.", answer=True)
    assert outcome.accepted
    run = (await service.rows("runs"))[0]
    assert (run["_id"], run["message_id"]) == (outcome.run_id, outcome.assistant_message_id)
    again = await append(service, thread, text="Say hello to the new member.", answer=True)
    assert (again.run_id, again.repeated, len(await service.rows("runs"))) == (outcome.run_id, True, 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"user_id": BOB}, "thread_not_found"),
        ({"text": " "}, "message_empty"),
        ({"text": "x" * 2000}, "message_too_long"),
        ({"service": ""}, "body_invalid"),
        ({"data": "x" * 70_000}, "body_invalid"),
        ({"model": "no:such", "answer": True}, "model_unknown"),
    ],
)
async def test_a_rejected_one_is_answered_with_the_reason(service: Service, changes: dict[str, Any], code: str) -> None:
    thread = await service.thread()
    outcome = await append(service, thread, **changes)
    assert (outcome.accepted, outcome.code, outcome.message_id) == (False, code, "")
    assert len(outcome.detail) > 10
    assert await service.rows("messages") == []


async def test_the_same_name_for_something_else_is_rejected(service: Service) -> None:
    thread = await service.thread()
    assert (await append(service, thread, text="One.")).accepted
    assert (await append(service, thread, text="Two.")).code == "idempotency_mismatch"


async def test_appends_and_messages_at_once_take_turns(service: Service) -> None:
    thread = await service.thread()
    await asyncio.gather(
        *[service.accept(thread, f"message {number}") for number in range(4)],
        *[
            service.bus.publish(
                append_subject(thread),
                msgspec.json.encode(AppendToThread(user_id=ALICE, service="orders", text=f"event {number}")),
                message_id=f"many-{number}",
            )
            for number in range(4)
        ],
        return_exceptions=True,
    )

    async def all_there() -> bool:
        return len([row for row in await service.rows("messages") if row["role"] == "tool"]) == 4

    await until(all_there)
    positions = sorted(row["position"] for row in await service.rows("messages"))
    assert positions == list(range(1, len(positions) + 1))


@pytest.mark.parametrize("odd", [b'{"text": 7}', b'{"text": "\xff"}', b'{"data": ' + b"[" * 5000])
async def test_what_is_no_append_is_a_dead_letter_and_its_sender_is_told(service: Service, odd: bytes) -> None:
    thread = await service.thread()
    headers = {"Everthread-Reply": REPLY}
    await service.bus.publish(append_subject(thread), odd, message_id="odd", headers=headers)
    await until(lambda: len(service.published("DEAD_LETTERS")) == 1)
    outcome = msgspec.json.decode(service.bus.broker.told[-1][1], type=AppendOutcome)
    assert (outcome.accepted, outcome.code) == (False, "body_invalid")


async def test_nobody_is_told_anything_outside_of_an_inbox(service: Service) -> None:
    handed = AppendSubscriber(service.parts, service.bus)
    reply = thread_events_subject(await service.thread())
    delivery = Delivery(append_subject(await service.thread()), b"{}", 1, 1, "", {"Everthread-Reply": reply})
    outcome: Outcome = await handed(delivery)
    assert not isinstance(outcome, Done)
    assert service.bus.broker.told == []
