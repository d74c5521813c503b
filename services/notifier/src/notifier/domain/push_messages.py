"""From a fact to the message that a browser shows when nobody is looking. Small, and without text unless that was allowed."""

import json
from typing import Any, Final

from contracts.facts import Fact, RunEnded, RunWaiting

LONGEST: Final = 1000
"""Bytes of a payload: well within what every push service takes."""
_TEXT: Final = 120


def wants_push(fact: Fact) -> bool:
    """An answer is there or failed, or it waits for a person."""
    match fact:
        case RunEnded():
            return fact.status in ("complete", "error")
        case RunWaiting():
            return fact.reason != "timer"
        case _:
            return False


def payload_of(fact: Fact, *, with_text: bool) -> bytes:
    """JSON with `type thread_id run_id event_id`, and `text` where the device may be told. At most LONGEST bytes."""
    message: dict[str, Any] = {"thread_id": fact.thread_id, "event_id": fact.id}
    text = ""
    match fact:
        case RunEnded():
            message |= {"type": "run.completed" if fact.status == "complete" else "run.failed", "run_id": fact.run_id}
            text = fact.preview
        case RunWaiting():
            message |= {"type": "run.waiting", "run_id": fact.run_id, "reason": fact.reason}
            text = fact.prompt
        case _:
            raise ValueError(f"nothing is pushed for {type(fact).__name__}")
    if with_text and text:
        message["text"] = text[:_TEXT]
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def topic_of(fact: Fact) -> str:
    """At most 32 characters of base64url, as RFC 8030 wants: the same event replaces itself at the push service."""
    return fact.id.partition("_")[2][:32]
