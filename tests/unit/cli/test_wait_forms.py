"""A wait as a form in the terminal: asked field by field, refused where it does not fit."""

from typing import Any, cast

import pytest
from contracts import events as e
from everthread.talk.form import Form
from everthread.talk.prompt import Prompt
from everthread.talk.transcript import Transcript
from everthread.talk.waits import Waits
from everthread_client import EverthreadClient, UnreachableError


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


class Gateway:
    """A client whose first answer finds nobody; what arrived after it."""

    def __init__(self) -> None:
        self.tried = 0
        self.arrived: list[Any] = []

    async def provide_input(self, run_id: str, value: Any, *, wait_id: str) -> None:
        self.tried += 1
        if self.tried == 1:
            raise UnreachableError("nobody")
        self.arrived.append(value)


class Labels:
    """A prompt that remembers what it asked."""

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def ask(self, label: str | None) -> None:
        self.asked.append(label)


@pytest.mark.parametrize("fields", [("a", "b"), ("a",), ()])
async def test_an_answer_that_did_not_arrive_is_asked_for_once_more(fields: tuple[str, ...]) -> None:
    gateway, labels = Gateway(), Labels()
    waits = Waits(cast(EverthreadClient, gateway), cast(Prompt, labels), cast(Transcript, None))
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in fields}} if fields else None
    waits.open(form(schema).wait)
    lines = fields or ("a",)
    for line in lines[:-1]:
        await waits.answer(line)
    last = labels.asked[-1]
    with pytest.raises(UnreachableError):
        await waits.answer(lines[-1])
    assert (waits.asks, labels.asked[-1]) == (True, last)
    await waits.answer(lines[-1])
    assert len(gateway.arrived) == 1
    assert (waits.asks, labels.asked[-1]) == (False, None)
    if fields:
        assert gateway.arrived == [{name: name for name in fields}]
