"""The application: calls by FastAPI, event streams beside it, the door in front."""

from typing import Any, Final

import msgspec
from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPBearer
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway.entrypoints import (
    admin,
    agents,
    console,
    demo,
    documents,
    export,
    notices,
    page,
    people,
    reference,
    refusing,
    rollout,
    run_commands,
    sessions,
    thread_tools,
    tickets,
    usage,
    webhooks,
)
from gateway.entrypoints.door import Door
from gateway.entrypoints.door_operations import door_paths
from gateway.entrypoints.doors import ClientDoors
from gateway.entrypoints.event_streams import HEARTBEAT_SECONDS, EventStreams
from gateway.entrypoints.routes import router
from gateway.entrypoints.websocket import LongLived, WebSockets
from gateway.entrypoints.wiring import Wiring, wiring_of
from gateway.handlers.choose_path import HEADER

_STREAMS: Final = {
    "/v1/runs/{run_id}/events": ("watch_run", "The events of a run, up to its terminal one; 204 after that.", "run_id"),
    "/v1/threads/{thread_id}/events": (
        "watch_thread",
        "The events of all runs of a thread, as they come.",
        "thread_id",
    ),
    "/v1/runs/{run_id}/replay": (
        "replay_run",
        "The recorded events at their own pace, times `speed` (0: without pauses), without the model.",
        "run_id",
    ),
    "/v1/me/events": ("watch_feed", "What happens to the caller's threads, for all devices.", ""),
}


def build(
    wiring: Wiring,
    *,
    version: str,
    client_doors: ClientDoors | None = None,
    heartbeat: float = HEARTBEAT_SECONDS,
) -> tuple[ASGIApp, LongLived]:
    """The ASGI application, and its long-lived connections (to drain them). `heartbeat` is in seconds."""
    app = FastAPI(
        title="Everthread",
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # The door opens a request's span and measures it; FastAPI's own would be a second one beside it.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.wiring = wiring
    app.include_router(reference.router)
    app.include_router(page.router)
    app.include_router(sessions.router)
    app.add_api_route("/healthz", _healthz, include_in_schema=False)
    app.add_api_route("/readyz", _readyz, include_in_schema=False)
    # The door has verified the token before; this is what OpenAPI says about it.
    app.include_router(router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(run_commands.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(thread_tools.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(people.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(export.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(tickets.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(agents.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(usage.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(documents.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(notices.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(webhooks.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(admin.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(console.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    app.include_router(rollout.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    if wiring.demo is not None:
        app.include_router(demo.router, dependencies=[Depends(HTTPBearer(auto_error=False))])
    refusing.install(app)
    _describe_streams(app)
    streams = EventStreams(wiring, heartbeat=heartbeat)
    sockets = WebSockets(wiring)
    door: ASGIApp = Door(wiring, app, streams, client_doors, sockets)
    if wiring.origins:
        door = CORSMiddleware(
            door,
            allow_origins=wiring.origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "authorization",
                "content-type",
                "idempotency-key",
                "if-match",
                "if-none-match",
                "last-event-id",
                "traceparent",
                HEADER,
            ],
            expose_headers=[
                "etag",
                "x-trace-id",
                "retry-after",
                "x-next-cursor",
                "x-run-id",
                "x-workflow-run-id",
                "x-workflow-stream-tail-index",
                "stream-next-offset",
                "stream-up-to-date",
                "stream-cursor",
                "stream-closed",
            ],
            max_age=600,
        )
    return door, LongLived(streams, sockets)


async def _healthz() -> Response:
    return Response(b"alive\n", media_type="text/plain")


async def _readyz(request: Request) -> Response:
    ready, checks = await wiring_of(request).readiness()
    body = msgspec.json.encode({"ready": ready, "checks": checks})
    return Response(body, 200 if ready else 503, media_type="application/json")


def _describe_streams(app: FastAPI) -> None:
    """Event streams are no FastAPI routes, so they are added to the description by hand."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = described()
            for path, (name, summary, parameter) in _STREAMS.items():
                schema["paths"][path] = {"get": _stream_operation(name, summary, parameter)}
            _describe_problems(schema)
            schema["paths"] |= door_paths()
        return described()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema


def _stream_operation(name: str, summary: str, parameter: str) -> dict[str, Any]:
    text = {"type": "string"}
    parameters: list[dict[str, Any]] = [
        {"name": "Last-Event-ID", "in": "header", "schema": text, "description": "The id of the last event received."},
        {"name": "cursor", "in": "query", "schema": text, "description": "The same; or `latest` for new events only."},
    ]
    if name == "watch_thread":
        only = {"type": "string", "enum": ["presence"]}
        about = "`presence`: who is there, without the runs' events."
        parameters.append({"name": "only", "in": "query", "schema": only, "description": about})
    if name == "watch_run":
        parameters[-1]["description"] += (
            " `0-0` is every event from the first. Without one, a long answer that has ended is told in few events."
        )
    if parameter:
        parameters.insert(0, {"name": parameter, "in": "path", "required": True, "schema": text})
    return {
        "operationId": name,
        "summary": summary,
        "tags": ["events"],
        "parameters": parameters,
        "security": [{"HTTPBearer": []}],
        "responses": {
            "200": {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": text}}},
            "204": {"description": "Nothing more will come."},
        },
    }


def _describe_problems(schema: dict[str, Any]) -> None:
    """Every refusal is a problem document, FastAPI's own validation errors included."""
    schema["components"]["schemas"] = {
        name: value
        for name, value in schema["components"]["schemas"].items()
        if name not in ("HTTPValidationError", "ValidationError")
    }
    text = {"type": "string"}
    schema["components"]["schemas"]["Problem"] = {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "trace_id"],
        "properties": dict.fromkeys(("type", "title", "detail", "code", "trace_id"), text)
        | {"status": {"type": "integer"}, "retry_after": {"type": "integer"}},
    }
    refused = {
        "description": "Refused; `code` says why.",
        "content": {refusing.PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = refused
            operation["responses"]["5XX"] = refused
