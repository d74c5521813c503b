"""What a protocol's client is told when it may not watch any more: a last frame that is an error in its own words."""

from typing import Final

import msgspec
from contracts.codes import Code

from gateway.domain.attendance import THREAD_DELETED
from gateway.domain.problems import Refusal
from gateway.domain.protocols.frame import DONE, frame, sse

SENTENCES: Final = {
    THREAD_DELETED: "This thread was deleted.",
}
NO_MEMBER_SENTENCE: Final = "You are no longer a member of this thread."


def dismissal(reason: str) -> Refusal:
    """The refusal behind the end of a stream: the same as for the next call."""
    return Refusal(Code.THREAD_NOT_FOUND, SENTENCES.get(reason, NO_MEMBER_SENTENCE))


def ai_sdk(refusal: Refusal) -> bytes:
    """An error part, then the end."""
    return sse(frame({"type": "error", "errorText": refusal.detail})) + DONE


def agui(refusal: Refusal) -> bytes:
    """RUN_ERROR ends a run's events."""
    return sse(frame({"type": "RUN_ERROR", "message": refusal.detail, "code": refusal.code.value}))


def openai_chat(refusal: Refusal) -> bytes:
    """A chunk that is an error, which the SDKs raise."""
    return sse(frame({"error": _error(refusal)})) + DONE


def openai_responses(refusal: Refusal) -> bytes:
    """The event `error`, which ends the stream."""
    body = {"type": "error", "code": refusal.code.value, "message": refusal.detail, "param": None}
    return b"event: error\ndata: %b\n\n" % msgspec.json.encode(body)


def _error(refusal: Refusal) -> dict[str, str | None]:
    return {"message": refusal.detail, "type": "invalid_request_error", "param": None, "code": refusal.code.value}
