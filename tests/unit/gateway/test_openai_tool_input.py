"""What OpenAI requests may bring of tools, calls and results; each mistake is refused under its own name."""

from typing import Any

import pytest
from contracts.parts import ToolCallPart
from contracts.registry import load_registry
from gateway.domain.problems import Refusal
from gateway.domain.tool_turns import ToolTurns, call_of
from gateway.entrypoints.openai_errors import ParameterRefusal
from gateway.entrypoints.openai_input import read_parameters
from gateway.entrypoints.openai_response_input import read_input
from gateway.entrypoints.openai_tools import TOOL_PARAMETERS, read_tools
from gateway.entrypoints.openai_turns import read_chat_messages

from tests.openai_tools import asks, chat_tool, tells, tool

MODELS = load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": "http://t/v1", "OLLAMA_BASE_URL": "http://t/v1"}).models
MODEL = MODELS["openai:gpt-4o-mini"]
ASK: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("wrong", "parameter", "code"),
    [
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": ["look"]}, "tools[0]", "invalid_type"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]", "unsupported_parameter"),
        ({"tools": [tool()]}, "tools[0].name", "unsupported_parameter"),
        ({"tools": [chat_tool(odd=1)]}, "tools[0].function.odd", "unsupported_parameter"),
        ({"tools": [chat_tool(None)]}, "tools[0].function.name", "missing_required_parameter"),
        ({"tools": [chat_tool("a b")]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [chat_tool("é")]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [chat_tool(), chat_tool()]}, "tools[1].function.name", "invalid_value"),
        ({"tools": [chat_tool(parameters=[])]}, "tools[0].function.parameters", "invalid_type"),
        ({"tools": [chat_tool(strict="yes")]}, "tools[0].function.strict", "invalid_type"),
        ({"tools": [chat_tool(parameters={"type": "string"})]}, "tools[0].function.parameters", "invalid_function_parameters"),
        (
            {"tools": [chat_tool(), chat_tool("b", parameters=object_of(a={"type": "odd"}))]},
            "tools[1].function.parameters",
            "invalid_function_parameters",
        ),
        (
            {"tools": [chat_tool(parameters=object_of(a={"$ref": "http://127.0.0.1/x"}))]},
            "tools[0].function.parameters",
            "invalid_function_parameters",
        ),
        ({"tools": [chat_tool(f"t{number}") for number in range(129)]}, "tools", "invalid_value"),
        ({"tools": [chat_tool(f"t{number}", description="x" * 1000) for number in range(70)]}, "tools", "invalid_value"),
        ({"tool_choice": "auto"}, "tool_choice", "invalid_value"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls", "invalid_value"),
        ({"tools": [chat_tool()], "tool_choice": "any"}, "tool_choice", "unsupported_parameter"),
        ({"tools": [chat_tool()], "tool_choice": {"type": "allowed_tools"}}, "tool_choice", "unsupported_parameter"),
        ({"tools": [chat_tool()], "tool_choice": chat_tool("other")}, "tool_choice", "invalid_value"),
        ({"tools": [chat_tool()], "parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
    ],
)  # fmt: skip
def test_wrong_tools_of_a_completion(wrong: dict[str, Any], parameter: str, code: str) -> None:
    with pytest.raises(ParameterRefusal) as refused:
        read_tools(wrong, "chat", MODEL)
    assert (refused.value.parameter, refused.value.openai_code) == (parameter, code)


@pytest.mark.parametrize(
    ("wrong", "parameter", "code"),
    [
        ({"tools": [{"type": "file_search"}]}, "tools[0]", "unsupported_parameter"),
        ({"tools": [chat_tool()]}, "tools[0].function", "unsupported_parameter"),
        ({"tools": [tool(parameters={"type": "array"})]}, "tools[0].parameters", "invalid_function_parameters"),
        ({"tools": [tool()], "tool_choice": {"type": "function", "name": "other"}}, "tool_choice", "invalid_value"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    ],
)  # fmt: skip
def test_wrong_tools_of_a_response(wrong: dict[str, Any], parameter: str, code: str) -> None:
    with pytest.raises(ParameterRefusal) as refused:
        read_tools(wrong, "responses", MODEL)
    assert (refused.value.parameter, refused.value.openai_code) == (parameter, code)


@pytest.mark.parametrize(
    ("model", "more", "parameter"),
    [
        ("embedded:smollm2-135m", {}, "tools"),
        ("ollama:llama3.2", {"tool_choice": "required"}, "tool_choice"),
        ("ollama:llama3.2", {"parallel_tool_calls": False}, "parallel_tool_calls"),
    ],
)
def test_what_the_models_provider_does_not_take(model: str, more: dict[str, Any], parameter: str) -> None:
    with pytest.raises(ParameterRefusal) as refused:
        read_tools({"tools": [chat_tool()], **more}, "chat", MODELS[model])
    assert refused.value.parameter == parameter


@pytest.mark.parametrize(
    ("wrong", "parameter", "code"),
    [
        ({"messages": [*ASK, asks("a", "b"), tells("a")]}, "messages[2]", "invalid_value"),
        ({"messages": [*ASK, asks("a"), *ASK]}, "messages[2]", "invalid_value"),
        ({"messages": [*ASK, asks("a")]}, "messages[1]", "invalid_value"),
        ({"messages": [*ASK, asks("a"), tells("b")]}, "messages[2].tool_call_id", "invalid_value"),
        ({"messages": [*ASK, asks("a"), tells("a"), tells("a")]}, "messages[3]", "invalid_value"),
        ({"messages": [*ASK, asks("a", "a"), tells("a")]}, "messages[1].tool_calls[1].id", "invalid_value"),
        ({"messages": [*ASK, asks("a"), tells("a", name="other")]}, "messages[2].name", "unsupported_parameter"),
        ({"messages": [*ASK, asks("x" * 201), tells("x" * 201)]}, "messages[1].tool_calls[0].id", "invalid_value"),
        ({"messages": [{**ASK[0], "tool_calls": [1]}]}, "messages[0].tool_calls", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_wrong_messages_of_a_completion(wrong: dict[str, Any], parameter: str, code: str) -> None:
    with pytest.raises(ParameterRefusal) as refused:
        read_chat_messages(wrong["messages"])
    assert (refused.value.parameter, refused.value.openai_code) == (parameter, code)


@pytest.mark.parametrize(
    ("wrong", "parameter", "code"),
    [
        ({"input": []}, "input", "invalid_type"),
        ({"input": [{"type": "function_call_output", "call_id": "a", "output": "b"}]}, "input[0].call_id", "invalid_value"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}]}, "input", "invalid_value"),
        ({"input": [{"type": "computer_call"}]}, "input[0]", "unsupported_parameter"),
    ],
)  # fmt: skip
def test_wrong_input_of_a_response(wrong: dict[str, Any], parameter: str, code: str) -> None:
    with pytest.raises(ParameterRefusal) as refused:
        read_input(ToolTurns(), wrong["input"])
    assert (refused.value.parameter, refused.value.openai_code) == (parameter, code)


def test_a_loop_of_calls_is_one_message_for_each_turn() -> None:
    said = [*ASK, asks("a", "b"), tells("b"), tells("a", name="look"), asks("a"), tells("a"), *ASK]
    items = read_chat_messages(said)
    assert [(item.role, len(item.parts)) for item in items] == [
        ("user", 0), ("assistant", 2), ("tool", 2), ("assistant", 1), ("tool", 1), ("user", 0),
    ]  # fmt: skip
    assert items[2].content == "blue\nblue"


def test_a_response_sent_back_is_read_as_it_was() -> None:
    """What came of the agent's own tools comes with it; what the model said to itself goes to no provider."""
    turns = ToolTurns()
    server = {
        "type": "mcp_call",
        "id": "m",
        "server_label": "everthread",
        "name": "time",
        "arguments": "{}",
        "output": "12",
    }
    call = {
        "type": "function_call",
        "call_id": "a",
        "name": "look",
        "arguments": '{"at": 1}',
        "id": "fc",
        "status": "completed",
    }
    output = {"type": "function_call_output", "call_id": "a", "output": "blue"}
    read_input(turns, [*ASK, {"type": "reasoning", "id": "r", "summary": []}, server, call, output])
    assert [item.role for item in turns.items] == ["user", "assistant", "tool"]
    calls = [part for part in turns.items[1].parts if isinstance(part, ToolCallPart)]
    assert [(one.name, one.state, one.output) for one in calls] == [
        ("time", "completed", "12"),
        ("look", "pending", None),
    ]
    assert calls[1].input == {"at": 1}


def test_what_is_nested_too_deep_is_refused_and_not_a_fault() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(400):
        schema = object_of(a=schema)
    with pytest.raises(ParameterRefusal) as refused:
        read_tools({"tools": [chat_tool(parameters=schema)]}, "chat", MODEL)
    assert refused.value.openai_code == "invalid_function_parameters"
    with pytest.raises(Refusal):
        read_parameters(b'{"tools":' + b"[" * 5000 + b"]" * 5000 + b"}", TOOL_PARAMETERS, {})
    assert call_of("c", "look", "[" * 5000 + "]" * 5000).input == "[" * 5000 + "]" * 5000


@pytest.mark.parametrize(("arguments", "read"), [("", {}), ("[1]", "[1]"), ('{"a"', '{"a"'), ('{"a": 1}', {"a": 1})])
def test_arguments_are_kept_as_the_model_wrote_them(arguments: str, read: Any) -> None:
    assert call_of("c", "look", arguments).input == read
