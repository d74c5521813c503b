"""The door: what every request passes before anything else. Trace, caller, body limit; then event streams or calls."""

import random
import time
from typing import Final

import structlog
from contracts.codes import Code
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode
from runtime import metrics, telemetry
from runtime.names import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.domain.problems import Refusal
from gateway.entrypoints import documents
from gateway.entrypoints.bodies import read_body
from gateway.entrypoints.callers import caller_of, header_of
from gateway.entrypoints.doors import ClientDoors
from gateway.entrypoints.event_streams import EventStreams, is_event_stream, route_of
from gateway.entrypoints.protocol_http import STREAMING
from gateway.entrypoints.refusing import TRACE_ID, fault, problem, refusal_of
from gateway.entrypoints.wiring import ANSWERING_PATH, BEGAN, PRINCIPAL, Wiring

logger = structlog.get_logger()

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def method_of(scope: Scope) -> str:
    """The request's method; one word for all that nobody knows, as each would be a time series."""
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"


class Door:
    """The ASGI application. `calls` is everything that is no event stream."""

    def __init__(
        self,
        wiring: Wiring,
        calls: ASGIApp,
        streams: EventStreams,
        client_doors: ClientDoors | None = None,
        sockets: ASGIApp | None = None,
    ) -> None:
        self._wiring: Final = wiring
        self._client_doors: Final = client_doors
        self._sockets: Final = sockets
        self._calls: Final = calls
        self._streams: Final = streams
        self._tracer: Final = telemetry.tracer("gateway.door")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing is raised but cancellation."""
        if scope["type"] == "websocket" and self._sockets is not None:
            await self._sockets(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        scope[BEGAN] = self._wiring.attendance.clock()
        span = self._span(scope)
        trace_id = f"{span.get_span_context().trace_id:032x}"
        scope[TRACE_ID] = trace_id
        token = otel_context.attach(trace.set_span_in_context(span))
        answer = _Answer(scope, span, trace_id, send)
        try:
            await self._serve(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - the last frame of a request: whatever it is becomes a problem document
            await answer.refuse(error, receive)
        finally:
            answer.finish()
            otel_context.detach(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if self._client_doors is not None and self._client_doors.serves(path) and scope["method"] != "OPTIONS":
            await self._client_doors(scope, receive, send)
            return
        if path.startswith("/v1/"):
            scope[PRINCIPAL] = await caller_of(self._wiring, scope)
            if is_event_stream(path):
                await self._streams(scope, receive, send)
                return
        if scope["method"] in ("GET", "HEAD"):
            await self._calls(scope, receive, send)
            return
        body = await self._body(scope, receive)
        if body is not None:
            await self._calls(scope, _replaying(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where the client left. Raises Refusal: too large, or no JSON by its own account."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] == documents.PATH:
            return await read_body(receive, headers, self._wiring.document_bytes)
        body = await read_body(receive, headers, self._wiring.body_bytes)
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and media_type != "application/json" and not media_type.endswith("+json"):
            raise Refusal(Code.CONTENT_TYPE_UNSUPPORTED, "Bodies are JSON: send `Content-Type: application/json`.")
        return body

    def _span(self, scope: Scope) -> Span:
        method = method_of(scope)
        came = {name: header_of(scope, name.encode()) for name in ("traceparent", "tracestate")}
        span = self._tracer.start_span(
            method,
            context=telemetry.extract({name: value for name, value in came.items() if value is not None}),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "url.path": scope["path"][:200],
                "url.scheme": scope.get("scheme", "http"),
            },
        )
        if span.get_span_context().is_valid:
            return span
        # Nothing is recorded, and no trace came along: an id of its own still joins the log lines of all services.
        made = SpanContext(random.getrandbits(128) | 1, random.getrandbits(64) | 1, is_remote=False)
        return NonRecordingSpan(made)


class _Answer:
    """The sending side of one request: adds the trace id, knows what was sent, ends the span and measures."""

    __slots__ = ("_began", "_ended", "_scope", "_send", "_span", "_status", "_trace_id")

    def __init__(self, scope: Scope, span: Span, trace_id: str, send: Send) -> None:
        self._scope = scope
        self._span = span
        self._trace_id = trace_id
        self._send = send
        self._status = 0
        self._ended = False
        self._began = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-trace-id", self._trace_id.encode())]
            if is_event_stream(self._scope["path"]) or STREAMING in self._scope:
                # The span is how long it took to attach; the stream itself may last for days.
                self.finish()
        await self._send(message)

    async def refuse(self, error: Exception, receive: Receive) -> None:
        """Answer with a problem document, if nothing was sent yet; log what is our fault."""
        refusal = refusal_of(error)
        if refusal is None:
            logger.error("request.failed", path=self._scope["path"][:200], exc_info=error)
            if not self._ended:
                self._span.set_status(StatusCode.ERROR, type(error).__name__)
        if not self._status:
            await problem(refusal or fault(), self._trace_id)(self._scope, receive, self.send)

    def finish(self) -> None:
        """End the span, once."""
        if self._ended:
            return
        self._ended = True
        route = self._scope.get("route")
        path = self._scope["path"]
        template = route_of(path) if is_event_stream(path) else getattr(route, "path", "")
        if template:
            self._span.update_name(f"{self._scope['method']} {template}")
            self._span.set_attribute("http.route", template)
        if ANSWERING_PATH in self._scope:
            self._span.set_attribute("everthread.path", self._scope[ANSWERING_PATH])
        if self._status:
            self._span.set_attribute("http.response.status_code", self._status)
        if self._status >= 500:
            self._span.set_status(StatusCode.ERROR)
        metrics.observe(
            Metric.HTTP_SECONDS,
            time.perf_counter() - self._began,
            method=method_of(self._scope),
            route=template or "none",
            status=str(self._status or "none"),
            path=self._scope.get(ANSWERING_PATH, "none"),
        )
        self._span.end()


def _replaying(body: bytes, receive: Receive) -> Receive:
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
