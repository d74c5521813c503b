"""Schemas and arguments."""

import time
from typing import Any

import pytest
from inference.tools.adapters.arguments import check_arguments, check_schema
from inference.tools.domain.spec import ToolSpec, ToolSpecError, openai_tool


def spec(properties: dict[str, Any], **more: Any) -> ToolSpec:
    return ToolSpec(name="t", description="A tool.", input_schema={"type": "object", "properties": properties, **more})


def test_what_fits_is_silent() -> None:
    assert check_arguments(spec({"a": {"type": "integer"}}, required=["a"]), {"a": 3}) is None


def test_every_problem_has_its_place_and_the_end_says_what_is_expected() -> None:
    tool = spec(
        {
            "days": {"type": "array", "items": {"type": "integer"}},
            "unit": {"enum": ["C", "F"]},
            "city": {"type": "string"},
        },
        required=["city"],
    )
    text = check_arguments(tool, {"days": [1, "two"], "unit": "K"})
    assert text is not None
    assert "At days[1]:" in text
    assert "At unit:" in text
    assert '"city" is a required property' in text
    assert "city (string, required)" in text
    assert 'unit (one of "C", "F")' in text


@pytest.mark.parametrize("arguments", [None, [], "text", 3])
def test_arguments_that_are_no_object(arguments: Any) -> None:
    assert "is not of type" in (check_arguments(spec({}), arguments) or "")


def test_many_problems_are_not_all_told() -> None:
    text = check_arguments(spec({}, additionalProperties={"type": "integer"}), {f"k{n}": "x" for n in range(50)})
    assert text is not None
    assert "There are more problems." in text
    assert len(text) < 1000


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/schema", "file:///etc/passwd", "other.json"])
def test_a_schema_that_points_elsewhere_is_refused_without_looking(reference: str) -> None:
    with pytest.raises(ToolSpecError, match="cannot be used"):
        check_schema(spec({"a": {"$ref": reference}}))


def test_references_inside_the_schema_are_followed() -> None:
    tool = spec({"a": {"$ref": "#/$defs/positive"}}, **{"$defs": {"positive": {"type": "integer", "minimum": 1}}})
    assert check_arguments(tool, {"a": 1}) is None
    assert check_arguments(tool, {"a": 0}) is not None


def test_a_schema_that_is_none_is_refused() -> None:
    with pytest.raises(ToolSpecError):
        check_schema(spec({"a": {"type": "integr"}}))


def test_a_pattern_cannot_be_made_to_run_for_ever() -> None:
    began = time.process_time()
    assert check_arguments(spec({"a": {"pattern": "^(a+)+$"}}), {"a": "a" * 5000 + "!"}) is not None
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "has space"}, "1 to 64 letters"),
        ({"name": "x" * 65}, "1 to 64 letters"),
        ({"description": " "}, "description is empty"),
        ({"input_schema": {"type": "string"}}, "expected 'object'"),
        ({"timeout": 0}, "expected a timeout"),
        ({"retries": 99}, "0 to 10 retries"),
    ],
)
def test_a_spec_that_cannot_work(changes: dict[str, Any], expected: str) -> None:
    good: dict[str, Any] = {"name": "t", "description": "d", "input_schema": {"type": "object"}}
    with pytest.raises(ToolSpecError, match=expected):
        ToolSpec(**(good | changes))


def test_what_a_provider_is_sent() -> None:
    assert openai_tool(spec({"a": {}})) == {
        "type": "function",
        "function": {
            "name": "t",
            "description": "A tool.",
            "parameters": {"type": "object", "properties": {"a": {}}},
        },
    }
