"""Traces: OpenTelemetry, exported over OTLP/HTTP when an endpoint is set, and nothing at all otherwise.

Only the API is imported here. The SDK and the exporter (about 20 MiB of memory) are loaded when an endpoint is set.
"""

import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

EXPORT_SECONDS: Final = 5.0
"""Budget of one export, retries included; spans wait in a bounded queue meanwhile, the newest are dropped when it is full."""
SHUTDOWN_SECONDS: Final = 1.5
"""What a dead collector may cost at the end of a process."""

_propagator = TraceContextTextMapPropagator()
_provider: "TracerProvider | None" = None


def configure(service: str, instance: str, endpoint: str | None, share: float = 1.0) -> None:
    """Record and export traces as `everthread-<service>` if there is an endpoint: `share` (0 to 1) of them, and all that
    failed or were taken over. Never touches the network itself."""
    global _provider
    if endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from runtime.sampling import KeepFailures, ShareAndTakeovers

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
    _provider = TracerProvider(
        resource=resource_of(service, instance), shutdown_on_exit=False, sampler=ShareAndTakeovers(share)
    )
    _provider.add_span_processor(KeepFailures(BatchSpanProcessor(exporter, schedule_delay_millis=1000)))
    trace.set_tracer_provider(_provider)


def resource_of(service: str, instance: str) -> "Resource":
    """What all telemetry of a process says about where it comes from."""
    from opentelemetry.sdk.resources import Resource

    return Resource.create(
        {"service.name": f"everthread-{service}", "service.namespace": "everthread", "service.instance.id": instance}
    )


def shutdown() -> None:
    """Export what is left, for at most SHUTDOWN_SECONDS; spans that a dead collector did not take by then are lost."""
    if _provider is not None:
        # The SDK's own shutdown may wait 30 s for an export under way, so it gets a thread that nobody has to wait for.
        last = threading.Thread(target=_provider.shutdown, name="telemetry-shutdown", daemon=True)
        last.start()
        last.join(SHUTDOWN_SECONDS)


def tracer(name: str) -> trace.Tracer:
    """The tracer of one module or lib. Spans cost next to nothing while no endpoint is set."""
    return trace.get_tracer(name)


def inject(headers: MutableMapping[str, str] | None = None) -> MutableMapping[str, str]:
    """Put the current trace context into `headers` as W3C `traceparent`; returns them (new ones if none were given)."""
    carrier: MutableMapping[str, str] = {} if headers is None else headers
    _propagator.inject(carrier)
    return carrier


def extract(headers: Mapping[str, str] | None) -> Context:
    """The trace context that came with `headers`; a context without a trace where none or an invalid one came."""
    return _propagator.extract(dict(headers or {}), context=Context())


@contextmanager
def under(headers: Mapping[str, str] | None) -> Iterator[None]:
    """Spans started inside are children of the span whose context came with `headers`."""
    token = otel_context.attach(extract(headers))
    try:
        yield
    finally:
        otel_context.detach(token)


def recorded_trace_id() -> str | None:
    """The current trace's id in hexadecimal where it is recorded, so that looking for it makes sense; else None."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid and span.trace_flags.sampled else None


def current_ids() -> tuple[str, str] | None:
    """`(trace_id, span_id)` of the current span in hexadecimal, None outside a trace."""
    span = trace.get_current_span().get_span_context()
    return (f"{span.trace_id:032x}", f"{span.span_id:016x}") if span.is_valid else None
