"""Which traces are exported where only a share of them is."""

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, StatusCode, TraceFlags, Tracer
from runtime import telemetry
from runtime.sampling import ATTEMPT, KeepFailures, ShareAndTakeovers

Exported = tuple[Tracer, InMemorySpanExporter]


def exporting(share: float) -> Exported:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=ShareAndTakeovers(share), shutdown_on_exit=False)
    provider.add_span_processor(KeepFailures(SimpleSpanProcessor(exporter)))
    return provider.get_tracer("test"), exporter


def names(exporter: InMemorySpanExporter) -> list[str]:
    return sorted(span.name for span in exporter.get_finished_spans())


@pytest.mark.parametrize(("share", "exported"), [(1.0, ["call", "request"]), (0.0, [])])
def test_what_went_well_is_exported_by_share(share: float, exported: list[str]) -> None:
    tracer, exporter = exporting(share)
    with tracer.start_as_current_span("request"), tracer.start_as_current_span("call"):
        pass
    assert names(exporter) == exported


def test_a_failure_brings_the_whole_request_with_it() -> None:
    tracer, exporter = exporting(0.0)
    with tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("well"):
            pass
        with tracer.start_as_current_span("call") as call:
            call.set_status(StatusCode.ERROR)
    with tracer.start_as_current_span("another request"):
        pass
    assert names(exporter) == ["call", "request", "well"]
    finished = {span.name: span for span in exporter.get_finished_spans()}
    root = finished["request"].get_span_context()
    assert finished["call"].parent is not None
    assert root is not None
    assert finished["call"].parent.span_id == root.span_id


def test_a_takeover_is_exported_with_all_that_it_calls() -> None:
    tracer, exporter = exporting(0.0)
    with tracer.start_as_current_span("first", attributes={ATTEMPT: 1}):
        pass
    with (
        tracer.start_as_current_span("second", context=Context(), attributes={ATTEMPT: 2}),
        tracer.start_as_current_span("call"),
    ):
        headers = telemetry.inject()
    assert names(exporter) == ["call", "second"]
    flags = int(headers["traceparent"].rpartition("-")[2], 16)
    assert flags & TraceFlags.SAMPLED, "the next service must export its part too"


@pytest.mark.parametrize("sampled", [True, False])
def test_what_another_service_decided_holds_here(sampled: bool) -> None:
    tracer, exporter = exporting(0.0 if sampled else 1.0)
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    remote = NonRecordingSpan(SpanContext(1, 2, is_remote=True, trace_flags=flags))
    with tracer.start_as_current_span("part", context=trace.set_span_in_context(remote, Context())):
        pass
    assert names(exporter) == (["part"] if sampled else [])


def test_a_span_that_outlives_its_root_stands_for_itself() -> None:
    tracer, exporter = exporting(0.0)
    with tracer.start_as_current_span("request"):
        late, fine = tracer.start_span("late"), tracer.start_span("fine")
    late.set_status(StatusCode.ERROR)
    late.end()
    fine.end()
    assert names(exporter) == ["late"]
