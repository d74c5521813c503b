"""RunAgentInput: what an AG-UI client sends, read into what a run is started with; its tools and their results too."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from contracts.client_tools import ClientTool, ClientTools
from contracts.codes import Code

from gateway.domain.brought_tools import ToolProblem, check_brought
from gateway.domain.chat_ids import stored_message_of
from gateway.domain.problems import Refusal
from gateway.domain.protocols.agui_messages import result_id
from gateway.domain.protocols.json_text import result_text
from gateway.domain.records import Earlier
from gateway.domain.run_context import context_text
from gateway.domain.tool_turns import ToolTurns, call_of
from gateway.entrypoints.schemas import schema_problem
from gateway.handlers.send_message import MAX_CHARACTERS

ROLES: Final = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}
KEPT_CHARACTERS: Final = 2500
CALL_CHARACTERS: Final = 200


class AguiFunction(msgspec.Struct):
    """What an assistant's message calls."""

    name: str
    arguments: str = ""


class AguiToolCall(msgspec.Struct):
    """A call in an assistant's message."""

    id: str
    function: AguiFunction


class AguiMessage(msgspec.Struct, rename="camel"):
    """A message as the client has it. Content of several parts is read as its texts. A tool's answers the call `tool_call_id`,
    with an `error` where it failed."""

    id: str
    role: str
    content: Any = None
    tool_calls: list[AguiToolCall] | None = None
    tool_call_id: str = ""
    error: str | None = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, str):
            return self.content
        if not isinstance(self.content, list):
            return ""
        return "".join(str(part.get("text", "")) for part in self.content if isinstance(part, dict))


class ResumeEntry(msgspec.Struct, rename="camel"):
    """What became of an interrupt: an approval's payload is `{"approved": …, "reason": …}`, an input's whatever was asked for."""

    interrupt_id: str
    status: str = "resolved"
    payload: Any = None


class ContextItem(msgspec.Struct):
    """Something that the application tells the agent. The protocol has texts; some send a value as it is."""

    description: str
    value: Any = ""


class RunAgentInput(msgspec.Struct, rename="camel"):
    """A request to run an agent. `state` and `forwardedProps` are the client's own; nothing here reads them. A run that is resumed
    goes on with the tools and the context that it has."""

    thread_id: str
    run_id: str
    messages: list[msgspec.Raw]
    tools: list[Any] = []
    context: list[ContextItem] = []
    resume: list[ResumeEntry] = []


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept with the run (`Run.client`): how the client calls it, and the messages that are not the assistant's; of a tool's
    by the call that it answers. A snapshot must name them as the client does, or it would put them behind what the client has."""

    agui_thread: str
    agui_run: str
    agui_ids: list[str] = []
    agui_results: dict[str, str] = {}


_decoder: Final = msgspec.json.Decoder(RunAgentInput)
_message_decoder: Final = msgspec.json.Decoder(AguiMessage)


def read_request(body: bytes) -> RunAgentInput:
    """Raises Refusal."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refusal(Code.BODY_INVALID, f"The body is no RunAgentInput: {error}.") from error


def read_messages(asked: RunAgentInput) -> list[AguiMessage]:
    """Raises Refusal."""
    try:
        return [_message_decoder.decode(message) for message in asked.messages]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refusal(Code.BODY_INVALID, f"A message is not one of AG-UI's: {error}.") from error


def check_request(asked: RunAgentInput) -> None:
    """Raises Refusal."""
    if not asked.thread_id or not asked.run_id or len(asked.thread_id) > 500 or len(asked.run_id) > 500:
        raise Refusal(Code.BODY_INVALID, "threadId and runId are texts of 1 to 500 characters.")


def read_context(given: Sequence[ContextItem]) -> str:
    """What the model is told for this run; raises Refusal where that is longer than a message may be."""
    text = context_text([(item.description, result_text(item.value)) for item in given])
    if len(text) > MAX_CHARACTERS:
        raise Refusal(
            Code.MESSAGE_TOO_LONG,
            f"`context` has {len(text):,} characters as text; at most {MAX_CHARACTERS:,} are accepted.",
        )
    return text


def read_tools(given: Sequence[Any]) -> ClientTools | None:
    """The client's own tools `{name, description, parameters}`; raises Refusal."""
    if not given:
        return None
    try:
        tools = tuple(msgspec.convert(item, ClientTool) for item in given)
        check_brought(tools, schema_problem)
    except msgspec.ValidationError as error:
        raise Refusal(Code.BODY_INVALID, f"`tools` are not AG-UI's: {error}.") from error
    except ToolProblem as problem:
        place = "`tools`" if problem.index is None else f"`tools[{problem.index}].{problem.place}`"
        raise Refusal(Code.BODY_INVALID, f"{place}: {problem.sentence}") from problem
    return ClientTools(tools=tools)


def read_turns(messages: Sequence[AguiMessage]) -> list[Earlier]:
    """The conversation as the client has it, results of one answer's calls as one message; raises Refusal for a result whose call
    is not there. A call without a result stays one: the model is not shown it."""
    turns = ToolTurns()
    for message in messages:
        if message.role == "tool":
            _read_result(turns, message)
        elif message.role in ROLES:
            turns.forget_open()
            stored = stored_message_of(message.id) if message.role == "assistant" else ""
            turns.say(ROLES[message.role], message.text, stored)
            for call in message.tool_calls or ():
                if not 0 < len(call.id) <= CALL_CHARACTERS:
                    raise Refusal(Code.BODY_INVALID, f"The id of a tool call has 1 to {CALL_CHARACTERS} characters.")
                turns.call(call_of(call.id, call.function.name, call.function.arguments))
    return turns.items


def _read_result(turns: ToolTurns, message: AguiMessage) -> None:
    if turns.name_of(message.tool_call_id) is None:
        raise Refusal(
            Code.BODY_INVALID,
            f"The message {message.id[:40]!r} answers the tool call {message.tool_call_id[:80]!r}, which the assistant's "
            "message before it does not make.",
        )
    turns.result(message.tool_call_id, message.text, error=message.error)


def kept_ids(asked: RunAgentInput, messages: Sequence[AguiMessage]) -> Kept:
    """The names of the messages that are not the assistant's, of as many of the newest as there is room for."""
    ids: list[str] = []
    results: dict[str, str] = {}
    size = 0
    for message in reversed(messages):
        if message.role == "tool" and message.id != result_id(message.tool_call_id):
            size += len(message.id) + len(message.tool_call_id) + 6
            if size <= KEPT_CHARACTERS:
                results[message.tool_call_id] = message.id
        elif message.role in ("system", "developer", "user"):
            size += len(message.id) + 3
            if size <= KEPT_CHARACTERS:
                ids.append(message.id)
        if size > KEPT_CHARACTERS:
            break
    return Kept(asked.thread_id, asked.run_id, ids[::-1], results)
