"""A collector for tests: receives OTLP over HTTP on loopback, keeps the spans, and can be asked for them.

`with OtlpReceiver() as receiver:` then give `receiver.endpoint` to the services as OTEL_EXPORTER_OTLP_ENDPOINT. It runs in a
thread of its own, so it serves synchronous and asynchronous tests alike.
"""

import gzip
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another span; ids in hexadecimal."""

    trace_id: str
    span_id: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One received span. Ids in hexadecimal, `parent_span_id` empty for a root; times in nanoseconds since 1970.

    `service` and `instance` are the resource's `service.name` and `service.instance.id`; `resource` has all of it.
    `kind` is OTLP's name without its prefix: INTERNAL, SERVER, CLIENT, PRODUCER or CONSUMER; `status` UNSET, OK or ERROR.
    """

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    kind: str
    service: str
    instance: str
    start: int
    end: int
    status: str
    status_message: str
    attributes: dict[str, Any]
    links: tuple[Link, ...]
    events: tuple[tuple[str, dict[str, Any]], ...]
    resource: dict[str, Any] = field(repr=False)


class OtlpReceiver:
    """The collector. Thread-safe; everything received since the start (or the last `clear`) stays in memory."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._raw: list[bytes] = []
        self._changed = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/traces":
                    receiver._receive(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: a test's output is for its failures."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="otlp", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """The base address, for OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self) -> list[Span]:
        """All spans so far, in the order they came."""
        with self._changed:
            return list(self._spans)

    def bodies(self) -> bytes:
        """All request bodies so far, joined, to look for what must not be in them."""
        with self._changed:
            return b"\n".join(self._raw)

    def clear(self) -> None:
        """Forget what came."""
        with self._changed:
            self._spans.clear()
            self._raw.clear()

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Span]:
        """Wait until at least `count` spans came; returns them. Blocks: from a coroutine use asyncio.to_thread.

        Raises AssertionError, naming what did come.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while len(self._spans) < count:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise AssertionError(
                        f"{len(self._spans)} of {count} spans came: {[(s.service, s.name) for s in self._spans]}"
                    )
            return list(self._spans)

    def _receive(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._changed:
            self._raw.append(body)
            self._spans.extend(_spans_of(request))
            self._changed.notify_all()


def _spans_of(request: ExportTraceServiceRequest) -> list[Span]:
    found = []
    for resource_spans in request.resource_spans:
        resource = _attributes(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                links = tuple(
                    Link(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes)) for link in span.links
                )
                found.append(
                    Span(
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_span_id=span.parent_span_id.hex(),
                        name=span.name,
                        kind=type(span).SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                        service=str(resource.get("service.name", "")),
                        instance=str(resource.get("service.instance.id", "")),
                        start=span.start_time_unix_nano,
                        end=span.end_time_unix_nano,
                        status=type(span.status).StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                        status_message=span.status.message,
                        attributes=_attributes(span.attributes),
                        links=links,
                        events=tuple((event.name, _attributes(event.attributes)) for event in span.events),
                        resource=resource,
                    )
                )
    return found


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if isinstance(pair, KeyValue)}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case "array_value":
            return [_value(item) for item in value.array_value.values]
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case None:
            return None
        case name:
            return getattr(value, name)
