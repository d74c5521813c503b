"""A typed Python function as a tool: its signature is the schema, its docstring the description.

    @tool(retries=2)
    async def weather(city: Annotated[str, Field(description="Name of the city")], context: ToolContext) -> dict[str, Any]:
        '''The weather now.'''

A parameter annotated `ToolContext` gets the call's context and is no argument. A plain `def` runs in a thread.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypedDict, Unpack, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic import Field as PydanticField
from pydantic_core import PydanticSerializationError, to_jsonable_python

from inference.tools.domain.outcome import HandOff, Output, Suspend, ToolFailedError, ToolOutcome
from inference.tools.domain.spec import Kind, Need, ToolSpec, ToolSpecError
from inference.tools.ports import ToolContext

FIELD: Final = "argument_"
_NOT_FROM_KEYWORDS: Final = (
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
    inspect.Parameter.POSITIONAL_ONLY,
)


class SpecOptions(TypedDict, total=False):
    """What of ToolSpec cannot be read from a signature."""

    name: str
    description: str
    kind: Kind
    side_effects: bool
    approval: bool
    timeout: float
    retries: int
    output_limit: int
    needs: Need
    roles: frozenset[str]


class FunctionTool:
    """A tool made of a function. `function` may be async; a plain one is run in a thread and cannot be stopped there."""

    def __init__(self, function: Callable[..., Any], **options: Unpack[SpecOptions]) -> None:
        self._function = function
        hints = get_type_hints(function, include_extras=True)
        parameters = inspect.signature(function).parameters
        self._context_name = next((name for name in parameters if hints.get(name) is ToolContext), None)
        fields: dict[str, Any] = {}
        for name, parameter in parameters.items():
            if name == self._context_name:
                continue
            if parameter.kind in _NOT_FROM_KEYWORDS or name not in hints:
                raise ToolSpecError(
                    f"function {function.__name__}: the parameter {name} needs a type and must be passable by name"
                )
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            # Under a name of ours, since a model has attributes of its own (`schema`, `copy`, `json`).
            fields[FIELD + name] = (hints[name], PydanticField(default, alias=name))
        model = create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
        self._arguments: TypeAdapter[Any] = TypeAdapter(model)
        schema = {key: value for key, value in self._arguments.json_schema().items() if key != "title"}
        chosen = {"name": function.__name__, "description": inspect.getdoc(function) or "", **options}
        self._spec = ToolSpec(**{"kind": "function", **chosen, "input_schema": _without_titles(schema)})

    @property
    def spec(self) -> ToolSpec:
        """What it is."""
        return self._spec

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Call the function with typed arguments. What it returns is made JSON; an outcome is passed on as it is."""
        try:
            model = self._arguments.validate_python(dict(arguments))
        except ValidationError as error:
            # The schema let it pass and the type does not, as with a validator of the function's own.
            problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
            raise ToolFailedError(f"The arguments do not fit: {problems}.") from error
        values = {name.removeprefix(FIELD): getattr(model, name) for name in type(model).model_fields}
        if self._context_name is not None:
            values[self._context_name] = context
        if inspect.iscoroutinefunction(self._function):
            result = await self._function(**values)
        else:
            result = await asyncio.to_thread(self._function, **values)
        if isinstance(result, Output | Suspend | HandOff):
            return result
        try:
            return Output(to_jsonable_python(result))
        except PydanticSerializationError as error:
            raise ToolFailedError(f"The tool {self._spec.name} returned something that is no JSON.") from error


def tool(**options: Unpack[SpecOptions]) -> Callable[[Callable[..., Any]], FunctionTool]:
    """Decorator: the function becomes a FunctionTool."""
    return lambda function: FunctionTool(function, **options)


def _without_titles(schema: Any) -> Any:
    """pydantic titles every field with its own name: tokens that tell the model nothing."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _without_titles(value) for name, value in item.items()}
        if key in ("properties", "$defs") and isinstance(item, dict)
        else _without_titles(item)
        for key, item in schema.items()
        if not (key == "title" and isinstance(item, str))
    }
