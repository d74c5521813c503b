"""One client span and one measurement per MongoDB command, by the driver's own command events.

Our own and not opentelemetry-instrumentation-pymongo: that one works with AsyncMongoClient too (the events are the same),
but it is a pre-release, registers itself for the whole process, and copies the server's error text into the span, which
for a duplicate key holds the value. Here a span has the command's name and collection, never a value.
"""

from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent
from runtime import metrics, operations, telemetry
from runtime.names import Metric

_tracer = telemetry.tracer("store")
_UNTRACED: Final = frozenset({"hello", "ping", "endSessions", "killCursors"})


class CommandSpans(CommandListener):
    """Spans named `<command> <collection>`, with OpenTelemetry's database attributes."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, object], Span] = {}

    def started(self, event: CommandStartedEvent) -> None:
        # A command outside any trace is a sweep or a probe: a span of its own would only be noise.
        if event.command_name in _UNTRACED or not trace.get_current_span().get_span_context().is_valid:
            return
        collection = event.command.get(event.command_name)
        named = isinstance(collection, str)
        span = _tracer.start_span(
            f"{event.command_name} {collection}" if named else event.command_name,
            kind=SpanKind.CLIENT,
            attributes={
                "db.system.name": "mongodb",
                "db.namespace": event.database_name,
                "db.operation.name": event.command_name,
                **({"db.collection.name": collection} if named else {}),
            },
        )
        self._open[event.request_id, event.connection_id] = span

    def succeeded(self, event: CommandSucceededEvent) -> None:
        _measure(event, "ok")
        span = self._open.pop((event.request_id, event.connection_id), None)
        if span is not None:
            span.end()

    def failed(self, event: CommandFailedEvent) -> None:
        name = str(event.failure.get("codeName") or event.failure.get("code") or "unknown")
        _measure(event, name)
        span = self._open.pop((event.request_id, event.connection_id), None)
        if span is not None:
            span.set_attribute("error.type", name)
            span.set_status(StatusCode.ERROR, name)
            span.end()


def _measure(event: CommandSucceededEvent | CommandFailedEvent, outcome: str) -> None:
    if event.command_name not in _UNTRACED:
        operations.note()
        metrics.observe(
            Metric.MONGODB_SECONDS, event.duration_micros / 1e6, command=event.command_name, outcome=outcome
        )
