"""Accepting messages over gRPC: one transaction, idempotent, ordered."""

import asyncio

import grpc
import msgspec
import pytest
from contracts.codes import Code
from contracts.commands import ExecuteRun
from contracts.ids import MESSAGE, new_id
from rpc.v1 import conversation_pb2 as pb
from runtime.rpc import code_of

from tests.integration.conversation.conftest import StartService
from tests.integration.conversation.replica import ALICE, BOB, Service, until


async def _refused(service: Service, thread: str, content: str = "hi", **more: str) -> Code:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.accept(thread, content, **more)
    return code_of(caught.value)[0]


async def test_an_accepted_message_is_stored_and_its_command_and_facts_are_published(service: Service) -> None:
    thread = await service.thread()
    accepted = await service.accept(thread, "What is the capital of Italy?")
    question, answer = await service.rows("messages")
    assert (question["_id"], answer["_id"]) == (accepted.message_id, accepted.assistant_message_id)
    assert (question["role"], question["status"], question["content"]) == (
        "user",
        "complete",
        "What is the capital of Italy?",
    )
    assert (answer["role"], answer["status"], answer["content"]) == ("assistant", "pending", "")
    assert answer["parent_message_id"] == question["_id"]
    (run,) = await service.rows("runs")
    assert (run["_id"], run["status"], run["path"]) == (accepted.run_id, "pending", "durable_event")
    assert run["model"] == "embedded:smollm2-135m"
    await until(lambda: len(service.published("THREADS")) == 3 and len(service.published("COMMANDS")) == 1)
    subject, data = service.published("COMMANDS")[0]
    command = msgspec.json.decode(data, type=ExecuteRun)
    assert subject == f"cmd.run.{accepted.run_id}.execute"
    assert (command.run_id, command.thread_id, command.message_id) == (
        accepted.run_id,
        thread,
        accepted.assistant_message_id,
    )
    kinds = sorted(subject.split(".", 2)[2] for subject, _ in service.published("THREADS"))
    assert kinds == ["message.accepted", "thread.created", "thread.updated"]
    await service.relay.sweep()
    assert await service.rows("outbox") == []


async def test_the_first_message_names_the_thread_and_later_ones_do_not(service: Service) -> None:
    thread, named = await service.thread(), await service.thread(title="Mine")
    await service.accept(thread, "Plan a trip\n to Rome")
    await service.accept(thread, "And to Paris")
    await service.accept(named, "Something else")
    titles = {row["_id"]: row["title"] for row in await service.rows("threads")}
    assert titles == {thread: "Plan a trip to Rome", named: "Mine"}


async def test_the_same_key_gives_the_same_answer_and_another_body_is_refused(service: Service) -> None:
    thread, other = await service.thread(), await service.thread()
    first = await service.accept(thread, "once", idempotency_key="k")
    again = await service.accept(thread, "once", idempotency_key="k")
    assert again.repeated_request
    assert not first.repeated_request
    assert (again.message_id, again.run_id, again.path) == (first.message_id, first.run_id, first.path)
    assert await _refused(service, thread, "twice", idempotency_key="k") is Code.IDEMPOTENCY_MISMATCH
    assert await _refused(service, other, "once", idempotency_key="k") is Code.IDEMPOTENCY_MISMATCH
    assert len(await service.rows("messages")) == 2
    theirs = await service.thread(BOB)
    request = pb.AcceptMessageRequest(user_id=BOB, thread_id=theirs, content="once", idempotency_key="k")
    assert not (await service.stub.AcceptMessage(request)).repeated_request


async def test_a_key_sent_many_times_at_once_is_accepted_once(start: StartService) -> None:
    services = [await start(), await start()]
    thread = await services[0].thread()
    replies = await asyncio.gather(*(services[n % 2].accept(thread, "hi", idempotency_key="k") for n in range(20)))
    assert len({reply.run_id for reply in replies}) == 1
    assert sum(not reply.repeated_request for reply in replies) == 1
    assert len(await services[0].rows("messages")) == 2
    assert len(await services[0].rows("runs")) == 1


async def test_messages_sent_at_once_take_places_of_their_own(start: StartService) -> None:
    services = [await start(), await start()]
    thread = await services[0].thread()
    await asyncio.gather(*(services[n % 2].accept(thread, f"m{n}") for n in range(12)))
    found: list[pb.Message] = []
    cursor = ""
    while True:
        request = pb.ListMessagesRequest(user_id=ALICE, thread_id=thread, limit=5, cursor=cursor)
        reply = await services[0].stub.ListMessages(request)
        found.extend(reply.items)
        cursor = reply.next_cursor
        if not cursor:
            break
    assert [message.role for message in found] == ["user", "assistant"] * 12
    assert sorted(message.content for message in found[::2]) == sorted(f"m{n}" for n in range(12))
    # One branch: each message's parent is the one before it.
    assert [message.parent_message_id for message in found] == ["", *(message.id for message in found[:-1])]


async def test_the_model_is_the_requests_else_the_threads_else_the_users_else_the_registrys(service: Service) -> None:
    mini = "openai:gpt-4o-mini"
    small = "embedded:smollm2-135m"

    async def model_of(thread: str, **more: str) -> str:
        run = (await service.accept(thread, "hi", **more)).run_id
        return (await service.stub.GetRun(pb.GetRunRequest(user_id=ALICE, run_id=run))).run.model

    plain = await service.thread()
    assert await model_of(plain) == small
    await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=ALICE, default_model=mini))
    assert await model_of(plain) == mini
    await service.stub.UpdateThread(pb.UpdateThreadRequest(user_id=ALICE, thread_id=plain, model=small))
    assert await model_of(plain) == small
    assert await model_of(plain, model=mini) == mini


async def test_bad_messages_are_refused_and_nothing_is_stored(service: Service) -> None:
    thread = await service.thread()
    assert await _refused(service, thread, " \n\t") is Code.MESSAGE_EMPTY
    assert await _refused(service, thread, "x" * 1001) is Code.MESSAGE_TOO_LONG
    assert await _refused(service, thread, model="openai:nothing") is Code.MODEL_UNKNOWN
    assert await _refused(service, thread, path="scenic") is Code.BODY_INVALID
    assert await _refused(service, thread, parent_message_id=new_id(MESSAGE)) is Code.MESSAGE_NOT_FOUND
    assert await _refused(service, thread, parent_message_id="msg_*") is Code.MESSAGE_NOT_FOUND
    assert await _refused(service, thread, idempotency_key="a\nb") is Code.IDEMPOTENCY_KEY_INVALID
    assert await _refused(service, thread, idempotency_key="k" * 201) is Code.IDEMPOTENCY_KEY_INVALID
    for collection in ("messages", "runs", "idempotency_keys"):
        assert await service.rows(collection) == []
    assert (await service.rows("threads"))[0]["length"] == 0


async def test_a_parent_of_another_thread_is_not_found(service: Service) -> None:
    thread, other = await service.thread(), await service.thread()
    message = (await service.accept(other)).message_id
    assert await _refused(service, thread, parent_message_id=message) is Code.MESSAGE_NOT_FOUND


async def test_the_context_follows_the_branch_and_holds_the_system_prompt(service: Service) -> None:
    thread = await service.thread()
    await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=ALICE, system_prompt="Be brief."))
    first = await service.accept(thread, "one")
    messages = service.database.collection("messages")
    await messages.update_one(
        {"_id": first.assistant_message_id}, {"$set": {"status": "complete", "content": "answer one"}}
    )
    await service.accept(thread, "two")
    branch = await service.accept(thread, "other two", parent_message_id=first.assistant_message_id)
    found = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=branch.run_id))
    assert [(message.role, message.content) for message in found.messages] == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "answer one"),
        ("user", "other two"),
    ]
    assert found.model == "embedded:smollm2-135m"


async def test_a_long_history_is_read_page_by_page(service: Service) -> None:
    thread = await service.thread()
    for n in range(30):
        accepted = await service.accept(thread, f"q{n}")
        await service.database.collection("messages").update_one(
            {"_id": accepted.assistant_message_id}, {"$set": {"status": "complete", "content": f"a{n}"}}
        )
    last = await service.accept(thread, "q30")
    found = await service.stub.GetRunInput(pb.GetRunInputRequest(run_id=last.run_id))
    expected = [text for n in range(30) for text in (f"q{n}", f"a{n}")] + ["q30"]
    assert [message.content for message in found.messages] == expected


async def test_users_are_created_when_first_seen(service: Service) -> None:
    looked = pb.GetUserRequest(user_id=BOB, look_only=True)
    assert await service.stub.GetUser(looked) == pb.GetUserResponse(user_id=BOB)
    assert await service.rows("users") == []
    replies = await asyncio.gather(*(service.stub.GetUser(pb.GetUserRequest(user_id=BOB)) for _ in range(10)))
    assert len({reply.created_at for reply in replies}) == 1
    assert len(await service.rows("users")) == 1
    assert await service.stub.GetUser(looked) == replies[0]
    changed = await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=BOB, system_prompt="  "))
    assert changed.preferences == pb.Preferences()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.UpdatePreferences(pb.UpdatePreferencesRequest(user_id=BOB, default_model="x:y"))
    assert code_of(caught.value)[0] is Code.MODEL_UNKNOWN


async def test_an_acceptance_takes_few_commands(service: Service) -> None:
    thread = await service.thread()
    await service.accept(thread, "first")
    service.commands.sent.clear()
    await service.accept(thread, "second", idempotency_key="k")
    assert [name for name, _ in service.commands.sent] == [
        "aggregate",  # thread, the run before it, user, idempotency key
        "update",  # thread
        "insert",  # idempotency key
        "insert",  # both messages
        "insert",  # run
        "update",  # the run before it, which has not ended: this one begins then
        "insert",  # outbox rows
        "commitTransaction",
    ]
