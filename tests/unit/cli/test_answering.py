"""A person's line as the JSON that a wait's schema wants."""

from typing import Any

import pytest
from everthread.answering import choices, decision_of, value_for
from everthread.runs import line_of

CITY = {"type": "object", "properties": {"answer": {"type": "string", "enum": ["Rome", "Paris"]}}}
TEXT = {"type": "object", "properties": {"answer": {"type": "string"}}}
TWO = {"type": "object", "properties": {"from": {"type": "string"}, "to": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "line", "value"),
    [
        (None, "as it is", "as it is"),
        (TEXT, "yes, do\n", {"answer": "yes, do"}),
        (CITY, "2", {"answer": "Paris"}),
        (CITY, "Rome", {"answer": "Rome"}),
        (CITY, '{"answer": "Rome"}', {"answer": "Rome"}),
        (TWO, '{"from": "a", "to": "b"}', {"from": "a", "to": "b"}),
        ({"type": "integer"}, "7", 7),
        ({"type": "boolean"}, "true", True),
    ],
)
def test_a_line_becomes_what_the_schema_wants(schema: Any, line: str, value: Any) -> None:
    assert value_for(schema, line) == value


def test_what_cannot_be_read_is_refused_with_what_is_wanted() -> None:
    with pytest.raises(ValueError, match="waits for integer"):
        value_for({"type": "integer"}, "seven")
    assert choices(CITY) == "1 Rome, 2 Paris. "
    assert choices(TEXT) == ""


@pytest.mark.parametrize(
    ("line", "decision"),
    [("y\n", (True, "")), ("No", (False, "")), ("n too dear\n", (False, "too dear")), ("perhaps", None), ("", None)],
)
def test_a_decision_may_say_why_not(line: str, decision: tuple[bool, str] | None) -> None:
    assert decision_of(line) == decision


def test_a_run_is_one_line() -> None:
    run = {
        "created_at": "2026-11-21T03:17:47.123Z",
        "id": "run_1",
        "status": "error",
        "error": {"code": "deadline", "message": "Too long."},
        "model": "openai:gpt-4o-mini",
        "agent": "researcher",
        "cost_microusd": 78,
    }
    assert line_of(run) == (
        "2026-11-21T03:17:47.123Z  run_1  error (deadline)  openai:gpt-4o-mini researcher  0.000078 USD"
    )
