"""Values against the JSON schema that a wait names."""

from typing import Any, Final

import jsonschema_rs

LONGEST: Final = 300
BACKTRACKING: Final = 100_000


def check_value(schema: Any, value: Any) -> str:
    """Why the value does not fit, as a sentence; empty where it does, or where there is no schema. The schema was written by a
    tool, so it may fetch nothing and its patterns may not take for ever."""
    if schema is None:
        return ""
    try:
        validator = _validator(schema)
    except jsonschema_rs.ValidationError as error:
        return f"The run's own schema cannot be used: {error.message[:LONGEST]}."
    for problem in validator.iter_errors(value):
        place = "/".join(str(step) for step in problem.instance_path)
        return f"{f'At {place}: ' if place else ''}{problem.message[:LONGEST]}."
    return ""


def schema_problem(schema: Any) -> str:
    """What is wrong with a schema itself, as a sentence; empty where it can be used. It may not refer to another document."""
    try:
        _validator(schema)
    except jsonschema_rs.ValidationError as error:
        return f"{error.message[:LONGEST]}."
    except ValueError as error:  # nested too deep
        return f"{str(error)[:LONGEST]}."
    return ""


def _validator(schema: Any) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(
        schema,
        retriever=_refuse,
        pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKING),
    )


def _refuse(uri: str) -> Any:
    raise ValueError(f"a schema must stand by itself; {uri[:200]} is not fetched")
