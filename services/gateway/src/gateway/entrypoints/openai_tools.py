"""The tools that OpenAI requests bring, in the shapes of both of its interfaces."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

from contracts.client_tools import ClientTool, ClientTools
from contracts.registry import Model, ToolChoice

from gateway.domain.brought_tools import ToolProblem, check_brought
from gateway.entrypoints.openai_errors import ParameterRefusal, unsupported
from gateway.entrypoints.schemas import schema_problem

Shape = Literal["chat", "responses"]
"""chat.completions puts what a function is into an object `function`; responses does not."""
TOOL_PARAMETERS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
_FIELDS: Final = frozenset({"name", "description", "parameters", "strict"})


def read_tools(wanted: Mapping[str, Any], shape: Shape, model: Model | None) -> ClientTools | None:
    """What a request brings for the model to call, None for nothing; raises ParameterRefusal. `model` is the one asked for."""
    given = wanted.get("tools")
    if given is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if name in wanted:
                raise ParameterRefusal(
                    name, f"{name!r} is only allowed when 'tools' are specified.", code="invalid_value"
                )
        return None
    if not isinstance(given, list):
        raise ParameterRefusal("tools", "'tools' must be a list.", code="invalid_type")
    tools = tuple(_tool(item, f"tools[{index}]", shape) for index, item in enumerate(given))
    try:
        check_brought(tools, schema_problem)
    except ToolProblem as problem:
        raise _refusal(problem, shape) from problem
    choice, named = _choice(wanted.get("tool_choice", "auto"), shape)
    parallel = wanted.get("parallel_tool_calls", True)
    if not isinstance(parallel, bool):
        raise ParameterRefusal(
            "parallel_tool_calls", "'parallel_tool_calls' must be true or false.", code="invalid_type"
        )
    brought = ClientTools(tools=tools, choice=choice, named=named, parallel=parallel)
    if named and named not in brought.names:
        raise ParameterRefusal(
            "tool_choice", f"Tool choice {named[:80]!r} not found in 'tools' parameter.", code="invalid_value"
        )
    if model is not None:
        _check_model(brought, model)
    return brought


def _check_model(brought: ClientTools, model: Model) -> None:
    """What the model's provider does not take is refused by name."""
    if not model.tools:
        raise ParameterRefusal("tools", f"Unsupported parameter: the model {model.id!r} cannot call tools.")
    if brought.choice not in model.tool_choice:
        sentence = f"Unsupported value: the model {model.id!r} does not take a tool_choice of {brought.choice!r}."
        raise ParameterRefusal("tool_choice", sentence, code="unsupported_value")
    if not (brought.parallel or model.parallel_tool_calls):
        sentence = f"Unsupported value: the model {model.id!r} does not take 'parallel_tool_calls': false."
        raise ParameterRefusal("parallel_tool_calls", sentence, code="unsupported_value")


def _refusal(problem: ToolProblem, shape: Shape) -> ParameterRefusal:
    if problem.index is None:
        return ParameterRefusal("tools", problem.sentence, code="invalid_value")
    field = f"function.{problem.place}" if shape == "chat" else problem.place
    code = "invalid_function_parameters" if problem.place == "parameters" else "invalid_value"
    return ParameterRefusal(f"tools[{problem.index}].{field}", problem.sentence, code=code)


def _tool(item: object, where: str, shape: Shape) -> ClientTool:
    if not isinstance(item, dict):
        raise ParameterRefusal(where, f"{where} must be an object.", code="invalid_type")
    if item.get("type") != "function":
        kind = str(item.get("type"))[:40]
        raise ParameterRefusal(where, f"{where}: tools of type {kind!r} are not supported here; only functions are.")
    function = item
    if shape == "chat":
        _only(item, {"type", "function"}, where)
        function, where = item.get("function", {}), f"{where}.function"
        if not isinstance(function, dict):
            raise ParameterRefusal(where, f"{where} must be an object.", code="invalid_type")
        _only(function, _FIELDS, where)
    else:
        _only(item, {"type", *_FIELDS}, where)
    description, parameters, strict = function.get("description"), function.get("parameters"), function.get("strict")
    for name, value, kinds in (
        ("name", function.get("name"), str),
        ("description", description, str | None),
        ("parameters", parameters, dict | None),
        ("strict", strict, bool | None),
    ):
        if not isinstance(value, kinds):
            code = "missing_required_parameter" if name == "name" and value is None else "invalid_type"
            raise ParameterRefusal(f"{where}.{name}", f"{where}.{name} is missing or of another type.", code=code)
    return ClientTool(name=function["name"], description=description or "", parameters=parameters, strict=strict)


def _choice(given: object, shape: Shape) -> tuple[ToolChoice, str]:
    match given:
        case "auto" | "none" | "required":
            return given, ""
        case {"type": "function", "function": {"name": str(name)}} if shape == "chat":
            return "function", name
        case {"type": "function", "name": str(name)} if shape == "responses":
            return "function", name
    kind = given.get("type") if isinstance(given, dict) else given
    raise ParameterRefusal(
        "tool_choice",
        f"tool_choice {str(kind)[:40]!r} is not supported here: auto, none, required or one function are.",
    )


def _only(item: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for name, value in item.items():
        if name not in known and value is not None:
            raise unsupported(f"{where}.{str(name)[:80]}")
