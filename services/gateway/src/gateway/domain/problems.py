"""Refusals: every way the gateway says no, with its status and its stable code (RFC 9457)."""

from collections.abc import Mapping
from math import ceil
from typing import Final

from contracts.codes import Code

STATUS: Final[Mapping[Code, int]] = {
    Code.REQUEST_INVALID: 400,
    Code.BODY_INVALID: 422,
    Code.BODY_TOO_LARGE: 413,
    Code.CONTENT_TYPE_UNSUPPORTED: 415,
    Code.QUERY_INVALID: 422,
    Code.MESSAGE_EMPTY: 422,
    Code.MESSAGE_TOO_LONG: 422,
    Code.MODEL_UNKNOWN: 422,
    Code.THREAD_NOT_FOUND: 404,
    Code.MESSAGE_NOT_FOUND: 404,
    Code.RUN_NOT_FOUND: 404,
    Code.RUN_FINISHED: 409,
    Code.RUN_NOT_WAITING: 409,
    Code.INPUT_INVALID: 422,
    Code.TOOL_NAME_TAKEN: 422,
    Code.ALREADY_ANSWERED: 409,
    Code.SCHEDULE_INVALID: 422,
    Code.SCHEDULE_NOT_FOUND: 404,
    Code.AGENT_UNKNOWN: 422,
    Code.DOCUMENT_NOT_FOUND: 404,
    Code.DOCUMENT_UNREADABLE: 422,
    Code.INVITATION_INVALID: 410,
    Code.WEBHOOK_INVALID: 422,
    Code.WEBHOOK_NOT_FOUND: 404,
    Code.DELIVERY_NOT_FOUND: 404,
    Code.DELIVERY_NOT_DEAD: 409,
    Code.DEAD_LETTER_NOT_REPEATABLE: 409,
    Code.PUSH_INVALID: 422,
    Code.THREAD_BUSY: 409,
    Code.CURSOR_INVALID: 400,
    Code.TOKEN_MISSING: 401,
    Code.TOKEN_INVALID: 401,
    Code.TOKEN_EXPIRED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.IDEMPOTENCY_MISMATCH: 422,
    Code.IDEMPOTENCY_KEY_INVALID: 400,
    Code.LIMIT_REACHED: 429,
    Code.FLAG_INVALID: 422,
    Code.REVISION_CONFLICT: 412,
    Code.REVISION_MISSING: 428,
    Code.UNAVAILABLE: 503,
    Code.INTERNAL: 500,
}

TITLES: Final[Mapping[int, str]] = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    410: "Gone",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Unsupported content type",
    422: "Not accepted",
    428: "Revision needed",
    429: "Too many requests",
    500: "Internal error",
    503: "Unavailable",
}

RETRY_SECONDS: Final = 1


class Refusal(Exception):
    """A request is refused; nothing was stored unless the sentence says so.

    `retry_after` is in seconds and becomes the Retry-After header; `status` overrides the code's usual one.
    """

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = STATUS[code] if status is None else status
        self.retry_after = RETRY_SECONDS if retry_after is None and self.status == 503 else retry_after
        self.headers = dict(headers or {})
        if self.retry_after is not None:
            self.headers["retry-after"] = str(max(1, ceil(self.retry_after)))
        if self.status == 401:
            error = "" if code is Code.TOKEN_MISSING else ', error="invalid_token"'
            self.headers["www-authenticate"] = f'Bearer realm="everthread"{error}'

    def document(self, trace_id: str) -> dict[str, object]:
        """The problem document. `retry_after` is in seconds, `trace_id` finds the request in logs and traces."""
        body: dict[str, object] = {
            "type": f"urn:everthread:problem:{self.code.value}",
            "title": TITLES.get(self.status, "Refused"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code.value,
            "trace_id": trace_id,
        }
        if self.retry_after is not None:
            body["retry_after"] = int(self.headers["retry-after"])
        return body


def not_recorded(what: str) -> Refusal:
    """A command that certainly has no effect, as the broker could not be reached; `what` begins the sentence."""
    return Refusal(
        Code.UNAVAILABLE, f"{what} was not recorded: the message broker cannot be reached now. Try again in a moment."
    )


def unconfirmed(what: str) -> Refusal:
    """A command that the broker may have stored; the same again is safe. `what` begins the sentence."""
    return Refusal(
        Code.UNAVAILABLE,
        f"{what} may have been recorded, and then it counts: the message broker did not confirm it in time. "
        "Saying it again is safe.",
    )
