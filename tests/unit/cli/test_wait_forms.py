"""A wait as a form in the terminal: asked field by field, refused where it does not fit."""

from typing import Any

import pytest
from contracts import events as e
from everthread.talk.form import Form


def form(schema: Any = None, reason: str = "input") -> Form:
    return Form(
        e.RunWaiting(thread_id="t", run_id="r", sequence=1, attempt=1, at="", reason=reason, schema=schema, wait_id="w")
    )


def test_an_approval_takes_yes_or_no_with_a_reason() -> None:
    asked = form(reason="approval")
    with pytest.raises(ValueError, match="y or n"):
        asked.take("perhaps")
    assert asked.take("n too dear")
    assert asked.answer == (False, "too dear")


def test_several_fields_are_asked_one_after_the_other() -> None:
    asked = form(
        {
            "type": "object",
            "required": ["name", "count"],
            "properties": {
                "name": {"type": "string", "title": "Whose"},
                "count": {"type": "integer"},
                "note": {"type": "string"},
                "size": {"enum": ["small", "large"]},
            },
        }
    )
    assert asked.label == "Whose > "
    assert not asked.take("Anna")
    with pytest.raises(ValueError, match="integer"):
        asked.take("many")
    assert not asked.take("3")
    assert asked.label.startswith("note (may be empty)")
    assert not asked.take("")
    assert "1 small, 2 large" in asked.label
    assert asked.take("2")
    assert asked.answer == {"name": "Anna", "count": 3, "size": "large"}
    asked.again()
    assert asked.label == "Whose > "


def test_one_field_is_one_line() -> None:
    asked = form({"type": "object", "properties": {"answer": {"type": "string", "enum": ["Vega", "Fram"]}}})
    assert "1 Vega, 2 Fram" in asked.label
    with pytest.raises(ValueError, match="needed"):
        asked.take(" ")
    assert asked.take("2")
    assert asked.answer == {"answer": "Fram"}
