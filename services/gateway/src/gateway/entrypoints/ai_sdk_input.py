"""What `/api/chat` is sent: UI messages with the parts that are read, and what came of the calls of the page's own tools."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from contracts.codes import Code
from contracts.parts import Part, TextPart, ToolCallPart

from gateway.domain.chat_ids import stored_message_of
from gateway.domain.problems import Refusal
from gateway.domain.records import Earlier
from gateway.domain.tool_turns import results_message

CALL_CHARACTERS: Final = 200
_TOOL: Final = "tool-"
_FINISHED: Final = frozenset({"output-available", "output-error", "output-denied"})
_UNFINISHED: Final = frozenset({"input-streaming", "input-available"})


class UiApproval(msgspec.Struct):
    """What a person said about a tool call. `id` is the wait's, as the request for it named it."""

    id: str
    approved: bool | None = None
    reason: str | None = None


class UiPart(msgspec.Struct, rename="camel"):
    """A part of a UI message: texts and tool calls are read. The tool's name is in the type (`tool-<name>`), or beside it
    (`dynamic-tool`)."""

    type: str
    text: str = ""
    state: str = ""
    approval: UiApproval | None = None
    tool_call_id: str = ""
    tool_name: str = ""
    input: Any = None
    output: Any = None
    error_text: str | None = None
    preliminary: bool = False

    @property
    def tool(self) -> str:
        """The tool that is called; empty where the part is no call."""
        if self.type == "dynamic-tool":
            return self.tool_name
        return self.type.removeprefix(_TOOL) if self.type.startswith(_TOOL) else ""

    @property
    def is_finished(self) -> bool:
        """A call that has its output, or will never have one."""
        return bool(self.tool) and self.state in _FINISHED and not self.preliminary


class UiMessage(msgspec.Struct):
    """A UI message as the client has it."""

    role: str
    id: str = ""
    parts: list[UiPart] = []
    metadata: Any = None

    @property
    def text(self) -> str:
        """Its text parts, joined."""
        return "".join(part.text for part in self.parts if part.type == "text")

    @property
    def come_to(self) -> str:
        """Our newest answer in it, as its `metadata` says; empty where that says nothing."""
        named = self.metadata.get("message_id") if isinstance(self.metadata, dict) else None
        return stored_message_of(named) if isinstance(named, str) else ""

    @property
    def stored_id(self) -> str:
        """An answer of ours in it: the newest, or else the one that it began with, since a message that goes on behind the outputs
        of its calls keeps its id. Empty where it is none of ours."""
        return self.come_to or stored_message_of(self.id)

    @property
    def last_step(self) -> list[UiPart]:
        """The parts behind the last `step-start`."""
        starts = [at for at, part in enumerate(self.parts) if part.type == "step-start"]
        return self.parts[starts[-1] + 1 :] if starts else self.parts


class ChatRequest(msgspec.Struct, rename="camel"):
    """The body of a POST. WorkflowChatTransport sends `messages` alone; what else a page adds is its own."""

    messages: list[UiMessage] = []
    message: UiMessage | None = None
    id: str = ""
    trigger: str = "submit-message"
    message_id: str | None = None
    model: str = ""
    tools: list[Any] | dict[str, Any] | None = None
    tool_choice: Any = None


_decoder: Final = msgspec.json.Decoder(ChatRequest)


def read_chat(body: bytes) -> ChatRequest:
    """Raises Refusal."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refusal(Code.BODY_INVALID, f"The body is not a chat request: {error}.") from error


def answered_approvals(asked: ChatRequest) -> list[UiApproval]:
    """The approvals that the last message, the assistant's, has answers to."""
    last = asked.message or (asked.messages[-1] if asked.messages else None)
    if last is None or last.role != "assistant":
        return []
    answered = [part.approval for part in last.parts if part.state == "approval-responded"]
    return [approval for approval in answered if approval is not None and approval.approved is not None]


def read_turns(messages: Sequence[UiMessage]) -> list[Earlier]:
    """The conversation as the client has it. An assistant's message with finished calls is an answer and, behind it, what came of
    them; a call without an end is left out: the model is not shown it. Raises Refusal."""
    turns: list[Earlier] = []
    for message in messages:
        role = message.role if message.role in ("system", "user", "assistant") else "user"
        if role != "assistant":
            turns.append(Earlier(role, message.text))
            continue
        results = _results(message)
        turns.append(Earlier(role, message.text, message.stored_id, _parts(message, results)))
        if results:
            turns.append(results_message(list(results.values())))
    return turns


def check_outputs(message: UiMessage) -> None:
    """That the last step of a message which is sent for its outputs alone has one for each call; raises Refusal."""
    seen: set[str] = set()
    for part in message.last_step:
        if not part.tool:
            continue
        if part.tool_call_id in seen:
            raise Refusal(
                Code.BODY_INVALID, f"Two parts of the last message are of the tool call {part.tool_call_id[:80]!r}."
            )
        seen.add(part.tool_call_id)
        if part.state in _UNFINISHED or part.preliminary:
            raise unanswered(part.tool_call_id, part.tool)


def unanswered(call_id: str, name: str) -> Refusal:
    """What to say of a call that has no output."""
    return Refusal(
        Code.BODY_INVALID,
        f"The tool call {call_id[:80]!r} of {name[:80]!r} has no output yet. Send the outputs of all calls at once.",
    )


def _results(message: UiMessage) -> dict[str, ToolCallPart]:
    """What came of the finished calls, by call; where a provider used an id again, of the last one."""
    results: dict[str, ToolCallPart] = {}
    for part in message.parts:
        if not part.is_finished:
            continue
        if not 0 < len(part.tool_call_id) <= CALL_CHARACTERS:
            raise Refusal(Code.BODY_INVALID, f"The id of a tool call has 1 to {CALL_CHARACTERS} characters.")
        result = ToolCallPart(tool_call_id=part.tool_call_id, name=part.tool, state="completed", output=part.output)
        if part.state != "output-available":
            error = part.error_text or ("The call was denied." if part.state == "output-denied" else "The tool failed.")
            result = ToolCallPart(tool_call_id=part.tool_call_id, name=part.tool, state="error", error=error)
        results[part.tool_call_id] = result
    return results


def _parts(message: UiMessage, results: Mapping[str, ToolCallPart]) -> tuple[Part, ...]:
    """The parts of an answer that called tools, for a thread that does not have it; none where it did not."""
    if not results:
        return ()
    parts: list[Part] = []
    for part in message.parts:
        if part.type == "text" and part.text:
            parts.append(TextPart(text=part.text))
        elif part.is_finished:
            given = {} if part.input is None else part.input
            parts.append(ToolCallPart(tool_call_id=part.tool_call_id, name=part.tool, state="pending", input=given))
    return tuple(parts)
