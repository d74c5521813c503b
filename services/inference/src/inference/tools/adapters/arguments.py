"""Arguments against a tool's JSON schema, and an answer that helps the model to correct itself.

`jsonschema-rs` rather than the validator in Python: a schema may come from another service, and this one can be told to
fetch no reference from the network or the disk and to bound the work of a `pattern`.
"""

import json
from functools import lru_cache
from typing import Any, Final

import jsonschema_rs

from inference.tools.domain.spec import ToolSpec, ToolSpecError

MOST_PROBLEMS: Final = 5
LONGEST_SENTENCE: Final = 300
BACKTRACKING: Final = 100_000


def check_schema(spec: ToolSpec) -> None:
    """Raise ToolSpecError where the schema itself is wrong or refers to another document."""
    _validator(json.dumps(spec.input_schema, sort_keys=True), spec.name)


def check_arguments(spec: ToolSpec, arguments: Any) -> str | None:
    """None where `arguments` fit, else sentences for the model: each problem with its place, then what is expected."""
    validator = _validator(json.dumps(spec.input_schema, sort_keys=True), spec.name)
    problems: list[str] = []
    for error in validator.iter_errors(arguments):
        if len(problems) == MOST_PROBLEMS:
            problems.append("There are more problems.")
            break
        place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
        message = error.message[:LONGEST_SENTENCE]
        problems.append(f"At {place.removeprefix('.')}: {message}." if place else f"{message}.")
    if not problems:
        return None
    expected = _expected(spec)
    return f"The arguments of {spec.name} do not fit its schema. {' '.join(problems)} {expected}"


def _expected(spec: ToolSpec) -> str:
    properties = spec.input_schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        return "Call it with an empty object."
    required = set(spec.input_schema.get("required") or ())
    names = (
        f"{name} ({_type_of(schema)}{', required' if name in required else ''})" for name, schema in properties.items()
    )
    return f"Call it again with an object of: {', '.join(names)}."


def _type_of(schema: Any) -> str:
    if not isinstance(schema, dict):
        return "anything"
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"][:20])
    kind = schema.get("type", "see the schema")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


@lru_cache(maxsize=512)
def _validator(schema: str, name: str) -> jsonschema_rs.Draft202012Validator:
    try:
        return jsonschema_rs.Draft202012Validator(
            json.loads(schema),
            retriever=_refuse,
            pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKING),
        )
    except jsonschema_rs.ValidationError as error:
        raise ToolSpecError(f"tool {name}: its schema cannot be used: {error.message[:LONGEST_SENTENCE]}") from error


def _refuse(uri: str) -> Any:
    raise ValueError(f"a schema must stand by itself; {uri[:200]} is not fetched")
