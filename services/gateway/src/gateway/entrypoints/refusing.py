"""Problem documents (RFC 9457) for everything that is refused or goes wrong, wherever it is noticed."""

from typing import Final

import msgspec
from bus.errors import BusError
from contracts.codes import Code
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.domain.problems import Refusal

TRACE_ID: Final = "everthread.trace_id"
PROBLEM_TYPE: Final = "application/problem+json"


def problem(refusal: Refusal, trace_id: str) -> Response:
    """The response for a refusal."""
    body = msgspec.json.encode(refusal.document(trace_id))
    return Response(body, refusal.status, refusal.headers, media_type=PROBLEM_TYPE)


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal that an exception stands for; None where it is a fault of ours."""
    match error:
        case Refusal():
            return error
        case BusError() | TimeoutError():
            return Refusal(Code.UNAVAILABLE, "The run log does not answer now; try again in a moment.")
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _http(error)
        case _:
            return None


def fault() -> Refusal:
    """What a client is told about a fault of ours."""
    return Refusal(Code.INTERNAL, "Something went wrong here. The trace id finds it in the logs.")


def install(app: FastAPI) -> None:
    """Make the application answer with problem documents."""

    async def handle(request: Request, error: Exception) -> Response:
        return problem(refusal_of(error) or fault(), request.scope.get(TRACE_ID, ""))

    # The last one goes on up to the door as well, which logs it.
    for kind in (Refusal, BusError, TimeoutError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


def _invalid(error: RequestValidationError) -> Refusal:
    problems = error.errors()
    if any(item["type"] == "json_invalid" for item in problems):
        return Refusal(Code.BODY_INVALID, "The body is not JSON.", status=400)
    # Only where and why: what was sent is not repeated.
    sentences = [f"{'.'.join(str(step) for step in item['loc']) or 'body'}: {item['msg']}" for item in problems[:5]]
    in_body = any(item["loc"] and item["loc"][0] == "body" for item in problems)
    return Refusal(Code.BODY_INVALID if in_body else Code.QUERY_INVALID, "; ".join(sentences) + ".")


def _http(error: HTTPException) -> Refusal:
    headers = error.headers or {}
    if error.status_code == 404:
        return Refusal(Code.NOT_FOUND, "There is nothing at this path; GET /openapi.json lists what there is.")
    if error.status_code == 405:
        return Refusal(Code.METHOD_NOT_ALLOWED, "This path does not know the method.", headers=headers)
    if error.status_code == 400:
        # FastAPI's answer to a body that cannot even be decoded.
        return Refusal(Code.BODY_INVALID, "The body is not JSON in UTF-8.", status=400)
    return Refusal(Code.INTERNAL, str(error.detail), status=error.status_code, headers=headers)
