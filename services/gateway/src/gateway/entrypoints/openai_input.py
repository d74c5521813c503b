"""What OpenAI requests say: parameters by name, models by their short names too, messages as texts (with calls: openai_turns)."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from contracts.codes import Code
from contracts.registry import Registry

from gateway.domain.problems import Refusal
from gateway.entrypoints.openai_errors import ParameterRefusal, unsupported
from gateway.handlers.send_message import check_model

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
TEXTS = frozenset({"text", "input_text", "output_text"})


def read_parameters(body: bytes, known: Collection[str], harmless: Mapping[str, Any]) -> dict[str, Any]:
    """The body's parameters that are not null. `harmless` ones may be given if they say what happens anyway. Raises Refusal."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refusal(Code.BODY_INVALID, f"The body is not JSON: {error}.", status=400) from error
    if not isinstance(given, dict):
        raise Refusal(Code.BODY_INVALID, "The body is not a JSON object.", status=400)
    wanted = {}
    for name, value in given.items():
        if value is None or (name in harmless and value in harmless[name]):
            continue
        if name not in known:
            raise unsupported(str(name)[:80])
        wanted[name] = value
    return wanted


def text_parameter(wanted: Mapping[str, Any], name: str) -> str:
    """A parameter that is a text; empty where it is not given."""
    value = wanted.get(name, "")
    if not isinstance(value, str):
        raise ParameterRefusal(name, f"{name!r} must be a string.", code="invalid_type")
    return value


def flag_parameter(wanted: Mapping[str, Any], name: str) -> bool:
    """A parameter that is true or false."""
    value = wanted.get(name, False)
    if not isinstance(value, bool):
        raise ParameterRefusal(name, f"{name!r} must be true or false.", code="invalid_type")
    return value


def model_of(wanted: Mapping[str, Any], models: Registry) -> str:
    """The registry's id of the model asked for: its id, or its name without the provider where only one has it."""
    asked = text_parameter(wanted, "model")
    if not asked:
        raise ParameterRefusal("model", "You must provide a model parameter.", code="missing_required_parameter")
    if models.find(asked) is None:
        named = [
            model.id
            for model in models.models.values()
            if model.available and asked in (model.id.partition(":")[2], model.upstream_name)
        ]
        if len(named) == 1:
            return named[0]
    check_model(asked, models)
    return asked


def read_items(items: object, parameter: str) -> list[tuple[str, dict[str, Any]]]:
    """A list of at least one object, each with its place; raises Refusal."""
    if not isinstance(items, list) or not items:
        raise ParameterRefusal(
            parameter, f"{parameter!r} must be a list with at least one message.", code="invalid_type"
        )
    found = []
    for index, item in enumerate(items):
        where = f"{parameter}[{index}]"
        if not isinstance(item, dict):
            raise ParameterRefusal(where, f"{where} must be an object.", code="invalid_type")
        found.append((where, item))
    return found


def read_message(item: Mapping[str, Any], where: str, *, besides: Collection[str] = ()) -> tuple[str, str]:
    """Role and text of a message {role, content}; raises Refusal for whatever is more than text. `besides`: fields that the
    caller looks at."""
    kind = item.get("type", "message")
    role = ROLES.get(str(item.get("role")))
    if kind != "message" or role is None:
        what = item.get("role") if kind == "message" else kind
        raise ParameterRefusal(where, f"{where}: {str(what)[:40]!r} is not supported here; send messages of text.")
    for name, value in item.items():
        if name not in ("type", "role", "content", "id", "status", *besides) and value not in (None, [], ""):
            raise unsupported(f"{where}.{name}")
    return role, read_text(item.get("content"), where)


def read_text(content: object, where: str) -> str:
    """A content of text, or of parts of text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise ParameterRefusal(where, f"{where}.content must be a string or a list of text parts.", code="invalid_type")
    texts = []
    for part in content:
        if not isinstance(part, dict) or part.get("type") not in TEXTS or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise ParameterRefusal(
                where, f"{where}: content of type {str(kind)[:40]!r} is not supported here; send text."
            )
        texts.append(part["text"])
    return "".join(texts)
