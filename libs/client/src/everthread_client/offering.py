"""A Python function as a tool: its JSON schema out of its annotations, its arguments out of what the model wrote.

The wire convention is that of `inference.tools.adapters.mesh_tools`: metadata of a NATS micro service's endpoint.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_type_hints

import msgspec

DESCRIPTION: Final = "everthread.description"
SCHEMA: Final = "everthread.schema"
SIDE_EFFECTS: Final = "everthread.side-effects"
APPROVAL: Final = "everthread.approval"
TIMEOUT: Final = "everthread.timeout"
RETRIES: Final = "everthread.retries"
ROLES: Final = "everthread.roles"

ToolFunction = Callable[..., Awaitable[Any]]


class ToolFailedError(Exception):
    """Raise it in a tool: the model reads the sentence. `retryable`: the same call may succeed a little later."""

    def __init__(self, sentence: str, *, retryable: bool = False) -> None:
        super().__init__(sentence)
        self.retryable = retryable


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """About a call; a tool that has a parameter of this type gets it. `key` is the same for every repetition of the call, so
    that a tool that changes something can do it once. `progress` shows any JSON to the people who watch."""

    key: str
    run_id: str
    thread_id: str
    user_id: str
    progress: Callable[[Any], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A tool as it is offered: what a model is told, and how its arguments are read."""

    name: str
    metadata: dict[str, str]
    function: ToolFunction
    arguments: type[msgspec.Struct]
    call_parameter: str

    async def call(self, data: bytes, about: ToolCall) -> bytes:
        """Call the function with arguments as JSON; its result as JSON. Raises ToolFailedError, and what the function does."""
        try:
            read = msgspec.json.decode(data or b"{}", type=self.arguments)
        except msgspec.MsgspecError as error:
            raise ToolFailedError(f"The arguments do not fit: {error}.") from error
        given = msgspec.structs.asdict(read)
        if self.call_parameter:
            given[self.call_parameter] = about
        return msgspec.json.encode(await self.function(**given))


def offer_of(
    function: ToolFunction,
    *,
    name: str = "",
    description: str = "",
    side_effects: bool = True,
    approval: bool = False,
    timeout: float = 30.0,
    retries: int = 0,
    roles: Sequence[str] = (),
) -> Offer:
    """The offer of an async function whose parameters are annotated. Raises TypeError with what is missing."""
    name = name or function.__name__
    description = description or inspect.getdoc(function) or ""
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"the tool {name} must be an async function")
    if not description:
        raise TypeError(f"the tool {name} has neither a docstring nor a description; the model chooses by it")
    hints = get_type_hints(function, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    call_parameter = ""
    for parameter in inspect.signature(function).parameters.values():
        kind = hints.get(parameter.name)
        if kind is None or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"the tool {name}: its parameter {parameter.name} needs a name and a type")
        if kind is ToolCall:
            call_parameter = parameter.name
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, kind))
        else:
            fields.append((parameter.name, kind, parameter.default))
    arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
    metadata = {
        DESCRIPTION: description,
        SCHEMA: msgspec.json.encode(_schema(arguments)).decode(),
        SIDE_EFFECTS: "true" if side_effects else "false",
        APPROVAL: "true" if approval else "false",
        TIMEOUT: f"{timeout:g}",
        RETRIES: str(retries),
    }
    if roles:
        metadata[ROLES] = ",".join(roles)
    return Offer(name=name, metadata=metadata, function=function, arguments=arguments, call_parameter=call_parameter)


def _schema(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of the arguments itself, with what it refers to under `$defs`."""
    _, components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop("Arguments")
    schema.pop("title", None)
    return schema | ({"$defs": components} if components else {})
