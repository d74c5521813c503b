"""Python functions as tools."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from inference.tools.adapters.arguments import check_arguments, check_schema
from inference.tools.adapters.function_tool import FunctionTool, tool
from inference.tools.domain.outcome import Output, ToolFailedError
from inference.tools.domain.spec import ToolSpecError
from inference.tools.ports import ToolContext
from pydantic import Field


@dataclass
class Place:
    city: str
    country: str = "DE"


CONTEXT = ToolContext(run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id="u")


@tool(retries=2, side_effects=True)
async def forecast(
    place: Place,
    context: ToolContext,
    days: Annotated[int, Field(ge=1, le=7, description="How many days")] = 3,
    unit: Literal["C", "F"] = "C",
) -> dict[str, Any]:
    """The weather of the next days."""
    context.progress({"asked": place.city})
    return {"city": place.city, "days": days, "unit": unit, "from": date(2026, 11, 21)}


def test_the_schema_is_the_signature() -> None:
    spec = forecast.spec
    assert (spec.name, spec.description, spec.retries, spec.side_effects) == (
        "forecast",
        "The weather of the next days.",
        2,
        True,
    )
    properties = spec.input_schema["properties"]
    assert properties["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 7,
        "description": "How many days",
        "default": 3,
    }
    assert "context" not in properties
    assert spec.input_schema["required"] == ["place"]
    check_schema(spec)
    assert check_arguments(spec, {"place": {"city": "Bonn"}}) is None
    assert check_arguments(spec, {"place": {}, "weeks": 1}) is not None


async def test_a_call_gets_typed_values_and_its_context() -> None:
    seen: list[Any] = []
    context = ToolContext(run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id="u", progress=seen.append)
    outcome = await forecast.call({"place": {"city": "Bonn"}, "days": 2}, context)
    assert outcome == Output({"city": "Bonn", "days": 2, "unit": "C", "from": "2026-11-21"})
    assert seen == [{"asked": "Bonn"}]


async def test_a_plain_function_and_a_property_that_is_called_title() -> None:
    def book(title: str, schema: int = 1) -> str:
        """Find a book."""
        return title * schema

    found = FunctionTool(book)
    assert set(found.spec.input_schema["properties"]) == {"title", "schema"}
    assert await found.call({"title": "ab", "schema": 2}, CONTEXT) == Output("abab")


async def test_what_the_type_refuses_is_a_failure_for_the_model() -> None:
    with pytest.raises(ToolFailedError, match="days"):
        await forecast.call({"place": {"city": "Bonn"}, "days": 99}, CONTEXT)


async def test_what_is_no_json_is_a_failure() -> None:
    def thing() -> object:
        """A thing."""
        return object()

    with pytest.raises(ToolFailedError, match="no JSON"):
        await FunctionTool(thing).call({}, CONTEXT)


def test_a_function_that_cannot_be_one() -> None:
    def untyped(city):  # type: ignore[no-untyped-def]  # that is what is refused
        """No types."""

    def rest(*cities: str) -> None:
        """Any number."""

    def silent(city: str) -> None:
        pass

    for function, expected in ((untyped, "needs a type"), (rest, "passable by name"), (silent, "description is empty")):
        with pytest.raises(ToolSpecError, match=expected):
            FunctionTool(function)
