"""Approvals and input through the doors: the official clients answer in their own way, and the same message goes on."""

from typing import Any

import pytest
from contracts import events as e
from contracts.commands import DecideApproval, ProvideInput

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import SmallMesh
from tests.integration.front_doors.mesh import Answer, usage

CALL = {"tool_call_id": "call_1", "name": "refund"}


def waits(answer: Answer, reason: str, **wait: Any) -> list[Any]:
    """A script that says something, waits for a person, and goes on: with a tool where it waits for an approval."""
    approval = reason == "approval"
    wait |= {"reason": reason, "wait_id": answer.wait_id, "prompt": "May I?"}
    return [
        (e.StepStarted, {"step": 1, "kind": "model", "name": "m"}),
        (e.TextDelta, {"part": 0, "delta": "Let me see. "}),
        *([(e.ToolCall, {"part": 1, "input": {"n": 7}, "state": "pending", **CALL})] if approval else []),
        usage(1),
        (e.StepFinished, {"step": 1, "finish_reason": "tool_calls"}),
        (e.RunWaiting, wait | ({"tool_call_id": "call_1"} if approval else {})),
        answer,
        (e.RunResumed, {"reason": "approved" if approval else "input", "wait_id": answer.wait_id}),
        *([(e.ToolResult, {"state": "completed", "output": {"done": True}, **CALL})] if approval else []),
        (e.StepStarted, {"step": 2, "kind": "model", "name": "m"}),
        (e.TextDelta, {"part": 2, "delta": "Done."}),
        usage(2),
        (e.StepFinished, {"step": 2, "finish_reason": "stop"}),
    ]


def texts(message: dict[str, Any]) -> str:
    return "".join(part["text"] for part in message["parts"] if part["type"] == "text")


def tool(message: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in message["parts"] if part.get("toolCallId") == "call_1")
    return found


@pytest.mark.parametrize("transport", ["default", "workflow"])
async def test_usechat_answers_an_approval_and_the_message_goes_on(
    mesh: SmallMesh, clients: LiveClients, transport: str
) -> None:
    answer = Answer("approval:1")
    mesh.worker.script = lambda _: waits(answer, "approval")
    await mesh.gateway()
    one = {"id": "page", "token": "alice", "transport": transport}
    asked = await clients.ask("chat", what="send", text="hi", bases=mesh.bases[:1], **one)
    assert (asked["status"], asked["error"]) == ("ready", None)
    assert tool(asked["messages"][-1])["state"] == "approval-requested"
    approval = {"id": tool(asked["messages"][-1])["approval"]["id"], "approved": False, "reason": "Too much."}
    # At another gateway than the one that asked.
    done = await clients.ask("chat", what="approve", approval=approval, bases=mesh.bases[1:], **one)
    assert (done["status"], done["error"]) == ("ready", None)
    assert [message["role"] for message in done["messages"]] == ["user", "assistant"]
    stored = await mesh.stored(asked["seen"][0]["headers"]["x-run-id"])
    assert texts(done["messages"][-1]) == stored["content"] == "Let me see. Done."
    assert (tool(done["messages"][-1])["state"], tool(done["messages"][-1])["output"]) == (
        "output-available",
        {"done": True},
    )
    assert isinstance(answer.command, DecideApproval)
    assert (answer.command.approved, answer.command.note) == (False, "Too much.")
    assert len(await mesh.service.rows("runs")) == 1


async def test_a_second_page_that_answers_too_late_is_shown_what_follows(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = Answer("approval:1")
    mesh.worker.script = lambda _: waits(answer, "approval")
    pages = [{"id": name, "chatId": "shared", "bases": mesh.bases, "token": "alice"} for name in ("one", "two")]
    await clients.ask("chat", what="send", text="hi", **pages[0])
    seen = await clients.ask("chat", what="resume", **pages[1])
    assert tool(seen["messages"][-1])["state"] == "approval-requested"
    for number, page in enumerate(pages):
        approval = {"id": "approval:1", "approved": number == 0}
        done = await clients.ask("chat", what="approve", approval=approval, **page)
        assert (done["status"], done["error"], texts(done["messages"][-1])) == ("ready", None, "Let me see. Done.")
    assert isinstance(answer.command, DecideApproval)
    assert answer.command.approved


async def test_somebody_elses_chat_of_that_name_waits_for_nothing(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = Answer("approval:1")
    mesh.worker.script = lambda _: waits(answer, "approval")
    one = {"id": "page", "bases": mesh.bases, "token": "alice"}
    await clients.ask("chat", what="send", text="hi", **one)

    other = one | {"token": "bob", "id": "theirs", "chatId": "page"}
    assert (await clients.ask("chat", what="resume", **other))["messages"] == []
    assert answer.command is None


async def test_agui_resumes_an_interrupt(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = Answer("approval:1")
    mesh.worker.script = lambda _: waits(answer, "approval")
    await mesh.gateway()
    one = {"id": "agent", "threadId": "t1", "token": "alice"}
    asked = await clients.ask("agui", what="run", text="hi", bases=mesh.bases[:1], **one)
    assert (asked["error"], asked["outcome"]) == (None, "interrupt")
    [interrupt] = asked["interrupts"]
    assert (interrupt["id"], interrupt["toolCallId"], interrupt["message"]) == ("approval:1", "call_1", "May I?")
    resume = [{"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}}]
    done = await clients.ask("agui", what="answer", resume=resume, bases=mesh.bases[1:], **one)
    assert (done["error"], done["runError"], done["outcome"]) == (None, None, "success"), done
    said = "".join(one.get("content") or "" for one in done["messages"] if one["role"] == "assistant")
    stored = await mesh.stored(asked["seen"][0]["headers"]["x-run-id"])
    assert said == stored["content"] == "Let me see. Done."
    assert isinstance(answer.command, DecideApproval)
    assert answer.command.approved


async def test_agui_gives_input_that_fits_its_schema(mesh: SmallMesh, clients: LiveClients) -> None:
    answer = Answer("input:1")
    mesh.worker.script = lambda _: waits(answer, "input", schema={"type": "object", "required": ["city"]})
    one = {"id": "agent", "threadId": "t1", "token": "alice", "bases": mesh.bases}
    asked = await clients.ask("agui", what="run", text="hi", **one)
    [interrupt] = asked["interrupts"]
    assert interrupt["responseSchema"] == {"type": "object", "required": ["city"]}
    entry = {"interruptId": interrupt["id"], "status": "resolved"}
    refused = await clients.ask("agui", what="answer", resume=[entry | {"payload": {}}], **one)
    assert "city" in refused["error"]
    done = await clients.ask("agui", what="answer", resume=[entry | {"payload": {"city": "Rome"}}], **one)
    assert (done["error"], done["outcome"]) == (None, "success")
    assert isinstance(answer.command, ProvideInput)
    assert answer.command.value == {"city": "Rome"}
