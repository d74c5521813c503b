"""Answering in the terminal what a run waits for, while its events go on arriving."""

import asyncio
import json
import sys
from typing import Any

from contracts import events as e
from everthread_client import EverthreadClient, ProblemError

from everthread.screen import Screen, printable

_YES = frozenset({"y", "yes"})
_NO = frozenset({"n", "no"})


def can_ask() -> bool:
    """There is a person at this terminal."""
    return sys.stdin.isatty()


async def answer(client: EverthreadClient, screen: Screen, event: e.RunWaiting) -> None:
    """Ask the person until the run has an answer, from here or from another device. Cancel it when the run goes on."""
    while True:
        try:
            if event.reason == "approval":
                decided = decision_of(await _line(screen, "approve? [y/n, or n and why] "))
                if decided is None:
                    continue
                approved, note = decided
                await client.approve(event.run_id, approved, wait_id=event.wait_id, note=note)
            else:
                text = await _line(screen, f"{choices(event.schema)}answer> ")
                value = value_for(event.schema, text)
                await client.provide_input(event.run_id, value, wait_id=event.wait_id)
        except ValueError as error:
            screen.note(f"{error}; try again")
        except ProblemError as error:
            screen.note(printable(error.detail))
            if error.code != "input_invalid":
                return
        else:
            return


def decision_of(text: str) -> tuple[bool, str] | None:
    """Approved or not, and why not; None for neither."""
    word, _, why = text.strip().partition(" ")
    if word.lower() in _YES:
        return True, ""
    return (False, why.strip()) if word.lower() in _NO else None


def choices(schema: Any) -> str:
    """The answers to choose from, where the schema has some: `1 Rome, 2 Paris. `."""
    options = _options(schema)
    return ", ".join(f"{number} {printable(str(option))}" for number, option in enumerate(options, 1)) + (
        ". " if options else ""
    )


def value_for(schema: Any, text: str) -> Any:
    """The person's line as the JSON that the schema wants: plain text for a string, alone or as an object's only property, a
    number for one of its choices, JSON for everything else. Raises ValueError."""
    text = text.strip()
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind == "object" and len(schema.get("properties", {})) == 1:
        name, inner = next(iter(schema["properties"].items()))
        return text_or_object(name, inner, text)
    options = _options(schema)
    if options and text.isdigit() and 0 < int(text) <= len(options):
        return options[int(text) - 1]
    if schema is None or kind == "string" or text in options:
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"the run waits for {kind or 'JSON'}, and {text[:60]!r} is none") from None


def text_or_object(name: str, schema: Any, text: str) -> Any:
    """An object with one property: written out as JSON, or by the property's value alone."""
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return {name: value_for(schema, text)}


def _options(schema: Any) -> list[Any]:
    if not isinstance(schema, dict):
        return []
    properties = schema.get("properties", {})
    if schema.get("type") == "object" and len(properties) == 1:
        return _options(next(iter(properties.values())))
    found = schema.get("enum", [])
    return list(found) if isinstance(found, list) else []


async def _line(screen: Screen, prompt: str) -> str:
    """One line from the person, without holding up anything else. Raises EOFError where there are no more."""
    screen.prompt(prompt)
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[str] = loop.create_future()

    def read() -> None:
        if not arrived.done():
            arrived.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        line = await arrived
    finally:
        loop.remove_reader(sys.stdin.fileno())
    if not line:
        raise EOFError
    return line
