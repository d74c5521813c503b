"""The tools that a page brings to `/api/chat`, and what it says of calling them. The AI SDK has no shape for either on the wire, so
these are its own for a route's `streamText`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from contracts.client_tools import ClientTool, ClientTools
from contracts.codes import Code
from contracts.registry import Model, ToolChoice

from gateway.domain.brought_tools import ToolProblem, check_brought
from gateway.domain.problems import Refusal
from gateway.entrypoints.schemas import schema_problem


class UiTool(msgspec.Struct, rename="camel"):
    """A tool of the page. The schema is called `inputSchema`, as the AI SDK does, or `parameters`, as AG-UI does."""

    name: str
    type: Literal["function", "dynamic"] = "function"
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


def read_tools(given: Sequence[Any] | Mapping[str, Any] | None, choice: Any, model: Model | None) -> ClientTools | None:
    """The page's own tools: a list of tools with names, or an object of tools by name; `choice` is what the page says of calling
    them, `model` the one asked for. Raises Refusal."""
    if not given:
        if choice not in (None, "auto"):
            raise Refusal(Code.BODY_INVALID, "`toolChoice` is about the tools of the page, and there are no `tools`.")
        return None
    places, tools = [], []
    for place, item in _named(given):
        places.append(place)
        tools.append(_tool(place, item))
    try:
        check_brought(tools, schema_problem)
    except ToolProblem as problem:
        field = {"parameters": "inputSchema"}.get(problem.place, problem.place)
        place = "tools" if problem.index is None else f"{places[problem.index]}.{field}"
        raise Refusal(Code.BODY_INVALID, f"`{place}`: {problem.sentence}") from problem
    if model is not None and not model.tools:
        raise Refusal(Code.BODY_INVALID, f"`tools`: the model {model.id!r} cannot call any. Choose another model.")
    chosen, named = _choice(choice)
    brought = ClientTools(tools=tuple(tools), choice=chosen, named=named)
    if named and named not in brought.names:
        raise Refusal(Code.BODY_INVALID, f"`toolChoice` names {named[:80]!r}, which is none of `tools`.")
    if model is not None and chosen not in model.tool_choice:
        said = "the choice of one tool" if named else repr(chosen)
        raise Refusal(
            Code.BODY_INVALID,
            f"`toolChoice`: the model {model.id!r} does not take {said}. Choose another model, or leave it out.",
        )
    return brought


def _named(given: Sequence[Any] | Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(given, Mapping):
        for name, item in given.items():
            yield f"tools.{name[:80]}", {**item, "name": name} if isinstance(item, dict) else item
        return
    for index, item in enumerate(given):
        yield f"tools[{index}]", item


def _tool(place: str, item: Any) -> ClientTool:
    try:
        tool = msgspec.convert(item, UiTool)
    except msgspec.ValidationError as error:
        raise Refusal(Code.BODY_INVALID, f"`{place}` is no tool of a page: {error}.") from error
    schema = tool.parameters if tool.input_schema is None else tool.input_schema
    if schema is not None and set(schema) == {"jsonSchema"} and isinstance(schema["jsonSchema"], dict):
        # What `jsonSchema()` and `zodSchema()` of the AI SDK become on the way.
        schema = schema["jsonSchema"]
    if schema is not None and isinstance(schema.get("def"), dict) and "properties" not in schema:
        raise Refusal(
            Code.BODY_INVALID,
            f"`{place}.inputSchema` is an object of zod, which loses its schema on the way; send z.toJSONSchema() of it.",
        )
    return ClientTool(name=tool.name, description=tool.description or "", parameters=schema, strict=tool.strict)


def _choice(given: Any) -> tuple[ToolChoice, str]:
    """As the AI SDK writes it."""
    match given:
        case None:
            return "auto", ""
        case "auto" | "none" | "required":
            return given, ""
        case {"type": "tool", "toolName": str(name), **more} if name and not more:
            return "function", name
    raise Refusal(
        Code.BODY_INVALID,
        '`toolChoice` is "auto", "none", "required" or {"type": "tool", "toolName": "..."}, as in the AI SDK.',
    )
