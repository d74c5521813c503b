"""What a POST of `/api/chat` asks for: a person's message, or what came of the calls that an answer left to the page."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import msgspec
from contracts.codes import Code
from contracts.parts import ToolCallPart

from gateway.domain.brought_tools import check_names
from gateway.domain.chat_ids import thread_of_chat
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.records import Earlier, Run
from gateway.domain.tool_turns import only_open, results_in, settled
from gateway.entrypoints.ai_sdk_input import ChatRequest, UiMessage, check_outputs, read_turns, unanswered
from gateway.entrypoints.ai_sdk_tools import read_tools
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.find_left import Left, find_left
from gateway.handlers.send_from_client import FromClient

PROTOCOL: Final = "ai_sdk"
LONGEST_ID: Final = 500


class Kept(msgspec.Struct):
    """What is kept with a run that goes on in a message which the client has (`Run.client`): the message's id there."""

    ai_sdk_message: str


def continued(run: Run) -> str:
    """The id of the client's message that a run goes on in; empty where it has one of its own."""
    try:
        return msgspec.json.decode(run.client or "{}", type=Kept).ai_sdk_message
    except msgspec.DecodeError:
        return ""


async def turn_of(wiring: Wiring, doors: Doors, principal: Principal, asked: ChatRequest) -> FromClient:
    """The message that a POST sends, or the outputs that it brings; raises Refusal."""
    messages: Sequence[UiMessage] = [*asked.messages, *([asked.message] if asked.message is not None else [])]
    if not messages:
        raise Refusal(Code.MESSAGE_EMPTY, "The request has no messages.")
    last = messages[-1]
    if asked.trigger not in ("submit-message", "regenerate-message"):
        raise Refusal(Code.BODY_INVALID, f"The trigger {asked.trigger[:40]!r} is not known.")
    told = last.role == "assistant" and any(part.is_finished for part in last.parts)
    if last.role != "user" and not told:
        raise Refusal(
            Code.BODY_INVALID,
            "The last message is not a user's, answers no approval and has no output of a tool. "
            "Other answers go to the run: POST /v1/runs/{id}/input.",
        )
    if not told and (odd := next((part.type for part in last.parts if part.type != "text"), "")):
        raise Refusal(Code.BODY_INVALID, f"Parts of type {odd[:40]!r} are not accepted yet; send text.")
    chat_id = asked.id or (f"first:{messages[0].id}" if messages[0].id else "")
    if not chat_id:
        raise Refusal(Code.BODY_INVALID, "The request names no chat: neither `id` nor an id of its first message.")
    if len(last.id) > LONGEST_ID:
        raise Refusal(Code.BODY_INVALID, f"The id of a message has at most {LONGEST_ID} characters.")
    tools = read_tools(asked.tools, asked.tool_choice, wiring.models.find(asked.model))
    thread_id = thread_of_chat(principal.user_id, PROTOCOL, chat_id)
    if told:
        check_outputs(last)
    items = read_turns(messages)
    answer = last if told else messages[-2] if len(messages) > 1 else None
    if answer is not None and answer.role == "assistant":
        items = await _placed(wiring, doors, principal.user_id, thread_id, items, answer, told=told)
    await check_names(wiring.agents, "", tools)
    regenerated = asked.trigger == "regenerate-message"
    key = f"{asked.trigger}:{last.id}:{asked.message_id or ''}"
    return FromClient(
        thread_id=thread_id,
        content=items[-1].content,
        results=results_in(items[-1]),
        results_once=True,
        earlier=items[:-1],
        # An edited message is sent again under its own id.
        replaces=not told and (regenerated or bool(asked.message_id)),
        model=asked.model,
        key=key if last.id and (asked.message_id or not regenerated) else "",
        client=msgspec.json.encode(Kept(last.id)).decode() if told and last.id else "",
        roles=(principal.role,),
        tools=tools,
    )


async def _placed(
    wiring: Wiring, doors: Doors, user_id: str, thread_id: str, items: list[Earlier], answer: UiMessage, *, told: bool
) -> list[Earlier]:
    """The conversation with the client's last answer as the thread has it, and without the outputs that the thread has: those of the
    agent's own tools, and those that were answered. `told`: it ends with outputs, which must be those of all calls that the stored
    answer left. Raises Refusal."""
    at = len(items) - 1 if told else len(items) - 2
    if at < 1 or not results_in(items[at]) or not items[at - 1].stored_id:
        return items
    given = results_in(items[at])
    recent = {part.tool for part in answer.last_step if part.is_finished}
    if not (told or recent) and answer.come_to:
        return settled(items)
    left = await find_left(
        wiring.conversation,
        doors.threads,
        user_id,
        thread_id,
        items[at - 1].stored_id,
        None if told else recent,
        past_failures=told,
        finished=None if answer.come_to else {result.tool_call_id for result in given},
    )
    if left is None:
        return items if told else settled(items)
    if told:
        _check_all(given, left)
    items = [*items[: at - 1], replace(items[at - 1], stored_id=left.message_id), *items[at:]]
    return only_open(items, left.calls)


def _check_all(given: Sequence[ToolCallPart], left: Left) -> None:
    ids = [result.tool_call_id for result in given]
    unknown = next((one for one in ids if left.made is not None and one not in left.made), None)
    if unknown is not None:
        raise Refusal(
            Code.BODY_INVALID, f"The last message has an output of {unknown[:80]!r}, a call that was never made."
        )
    missing = next((call for call in left.calls.values() if call.tool_call_id not in ids), None)
    if missing is not None:
        raise unanswered(missing.tool_call_id, missing.name)
    if not left.calls:
        raise Refusal(Code.BODY_INVALID, "The last message answers no call that was left to this client.")
