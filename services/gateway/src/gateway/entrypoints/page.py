"""The page: its document at `/` and its other views, its parts below `/assets/`."""

from typing import Any, Final

import msgspec
from contracts.codes import Code
from fastapi import APIRouter, Request, Response

from gateway.domain.page import DOCUMENTS, HEADERS, caching_of, coding_of, etag_of, file_of, headers_for, wants_page
from gateway.domain.problems import Refusal
from gateway.entrypoints.wiring import wiring_of

router = APIRouter()

HELLO: Final = {
    "everthread": "An answer, once accepted, always finishes.",
    "talk": [
        'POST /v1/threads {"title": "..."}',
        'POST /v1/threads/{thread_id}/messages {"content": "..."}',
        "GET /v1/runs/{run_id}/events (server-sent events; resume with Last-Event-ID)",
    ],
    "token": "Authorization: Bearer <JWT>; in development: everthread token --user demo",
    "openapi": "/openapi.json",
    "page": "open this address in a browser",
}

NOT_BUILT: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Everthread</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="3"></head>
<body><h1>Everthread</h1>
<p>The API is here and works. Its page is not built yet: <code>everthread up</code> builds it on the first start and says so
when it is done (or why it cannot be); <code>task web</code> builds it by hand. This text looks again by itself.</p>
</body></html>
"""


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/t/{view:path}", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/join", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/join/{view:path}", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/sign-in", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/console", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/console/{view:path}", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/assets/{view:path}", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/favicon.svg", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/manifest.webmanifest", methods=["GET", "HEAD"], include_in_schema=False)
@router.api_route("/service-worker.js", methods=["GET", "HEAD"], include_in_schema=False)
async def get_page(request: Request) -> Response:
    """A file of the page; at `/`, for programs, the API's greeting. Raises Refusal: not found."""
    headers = request.headers
    name = file_of(request.url.path)
    if name is None:
        raise Refusal(Code.NOT_FOUND, "There is nothing at this path.")
    if name in DOCUMENTS and not wants_page(headers.get("accept", "")):
        if request.url.path == "/":
            return _json(HELLO)
        raise Refusal(Code.NOT_FOUND, "There is nothing at this path but a view of the page, for browsers.")
    files = wiring_of(request).page
    found = files.find(name) if files is not None else None
    if found is None:
        if name not in DOCUMENTS:
            raise Refusal(Code.NOT_FOUND, "The page has no such part.")
        return Response(NOT_BUILT, media_type="text/html", headers={**HEADERS, "cache-control": "no-store"})
    provider = wiring_of(request).provider
    # A part runs under the policy of the document that asked for it.
    origins = await provider.origins() if provider is not None and name in DOCUMENTS else ()
    answer = {
        **headers_for(origins),
        "cache-control": caching_of(name),
        "etag": etag_of(found.etag, origins),
        "vary": "accept, accept-encoding",
    }
    if headers.get("if-none-match") == answer["etag"]:
        return Response(status_code=304, headers=answer)
    coding = coding_of(headers.get("accept-encoding", ""), found.encoded)
    if coding is not None:
        answer["content-encoding"] = coding
    return Response(
        found.body if coding is None else found.encoded[coding], headers=answer, media_type=found.media_type
    )


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json", headers={"vary": "accept"})
