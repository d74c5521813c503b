"""Errors as OpenAI's clients know them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from bus.errors import BusError
from contracts.codes import Code, RunFailure
from contracts.run_state import RunState

from gateway.domain.path_flag import DURABLE
from gateway.domain.problems import Refusal
from gateway.domain.records import Run

TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
CODES: Final = {
    Code.MODEL_UNKNOWN: "model_not_found",
    Code.TOKEN_MISSING: "invalid_api_key",
    Code.TOKEN_INVALID: "invalid_api_key",
    Code.TOKEN_EXPIRED: "invalid_api_key",
    Code.LIMIT_REACHED: "rate_limit_exceeded",
}
FAILURES: Final = {
    RunFailure.RATE_LIMITED: (429, "rate_limit_exceeded"),
    RunFailure.CONTEXT_TOO_LONG: (400, "context_length_exceeded"),
    RunFailure.REFUSED: (400, "content_filter"),
    RunFailure.UPSTREAM_REJECTED: (400, "upstream_rejected"),
    RunFailure.MODEL_UNKNOWN: (404, "model_not_found"),
    RunFailure.DEADLINE: (504, "deadline"),
    RunFailure.TOOL_NAME_TAKEN: (400, "tool_name_taken"),
    RunFailure.TOOLS_UNSUPPORTED: (400, "tools_unsupported"),
}


class ParameterRefusal(Refusal):
    """A parameter that is wrong, or that this door does not have: refused by name, never ignored."""

    def __init__(self, parameter: str, sentence: str, *, code: str = "unsupported_parameter") -> None:
        super().__init__(Code.BODY_INVALID, sentence, status=400)
        self.parameter = parameter
        self.openai_code = code


def unsupported(parameter: str) -> ParameterRefusal:
    """The refusal of a parameter that is not supported."""
    return ParameterRefusal(
        parameter, f"Unsupported parameter: {parameter!r} is not supported here. Leave it out; nothing was started."
    )


def error_of(refusal: Refusal) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    status = 400 if refusal.status == 422 else refusal.status
    if refusal.code is Code.MODEL_UNKNOWN:
        status = 404
    parameter, code = None, CODES.get(refusal.code, refusal.code.value)
    if isinstance(refusal, ParameterRefusal):
        parameter, code = refusal.parameter, refusal.openai_code
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return status, {"error": {"message": refusal.detail, "type": kind, "param": parameter, "code": code}}


@contextmanager
def showing(run: Run, key: str) -> Iterator[None]:
    """Inside, an answer that will finish is about to be shown. Where the log does not answer, whoever asks again by themselves,
    as SDKs do, must not start another run; with an idempotency key they do not."""
    try:
        yield
    except (BusError, TimeoutError) as error:
        if run.path != DURABLE:
            raise
        raise Refusal(
            Code.UNAVAILABLE,
            "The message is stored and its answer will finish, but it cannot be shown now. "
            f"GET /v1/runs/{run.id}/events shows it in a moment.",
            headers={"x-run-id": run.id} | ({} if key else {"x-should-retry": "false"}),
        ) from error


def failure_of(state: RunState) -> tuple[int, dict[str, Any]]:
    """Status and body for a run that failed before anything was sent."""
    failed = state.error_code or ""
    known = {str(name): value for name, value in FAILURES.items()}
    status, code = known.get(failed, (502, failed or "server_error"))
    kind = TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    message = state.error_message or "The run failed."
    return status, {"error": {"message": message, "type": kind, "param": None, "code": code}}
