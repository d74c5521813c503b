"""What this gateway and its mesh offer, described: `/openapi` and `/asyncapi` for people, `/asyncapi.json` for programs.
(`/openapi.json` is FastAPI's own.)"""

import msgspec
from fastapi import APIRouter, Request, Response

from gateway.domain.asyncapi import document
from gateway.domain.reference_page import HEADERS, asyncapi_page, openapi_page

router = APIRouter(include_in_schema=False)


@router.get("/asyncapi.json")
async def get_asyncapi(request: Request) -> Response:
    """The AsyncAPI document."""
    return Response(msgspec.json.encode(document(request.app.version)), media_type="application/json")


@router.get("/asyncapi")
async def get_asyncapi_page(request: Request) -> Response:
    """The same as a page."""
    return Response(asyncapi_page(document(request.app.version)), media_type="text/html", headers=HEADERS)


@router.get("/openapi")
async def get_openapi_page(request: Request) -> Response:
    """The OpenAPI document as a page."""
    return Response(openapi_page(request.app.openapi()), media_type="text/html", headers=HEADERS)
