"""Spans of MongoDB commands carry names and no values; passing faults become one exception."""

from datetime import timedelta

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pymongo.errors import (
    AutoReconnect,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent
from store import tracing
from store.errors import StoreUnavailableError
from store.faults import translated

ADDRESS = ("127.0.0.1", 27017)
SECRET = "the message itself"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    return exporter


def _started(number: int = 1) -> CommandStartedEvent:
    command = {"insert": "messages", "documents": [{"content": SECRET}]}
    return CommandStartedEvent(command, "everthread", number, ADDRESS, number)


def test_a_span_names_command_and_collection_and_no_value(exported: InMemorySpanExporter) -> None:
    spans = tracing.CommandSpans()
    tracer = TracerProvider().get_tracer("caller")
    with tracer.start_as_current_span("caller") as caller:
        spans.started(_started(1))
        spans.started(_started(2))
        failure = {"code": 11000, "codeName": "DuplicateKey", "errmsg": SECRET}
        spans.failed(CommandFailedEvent(timedelta(0), failure, "insert", 2, ADDRESS, 2))
        spans.succeeded(CommandSucceededEvent(timedelta(0), {"ok": 1}, "insert", 1, ADDRESS, 1))
    failed, succeeded = exported.get_finished_spans()
    assert [failed.name, succeeded.name] == ["insert messages"] * 2
    assert succeeded.parent is not None
    assert succeeded.parent.span_id == caller.get_span_context().span_id
    assert dict(succeeded.attributes or {}) == {
        "db.system.name": "mongodb",
        "db.namespace": "everthread",
        "db.operation.name": "insert",
        "db.collection.name": "messages",
    }
    assert (failed.attributes or {})["error.type"] == "DuplicateKey"
    assert all(SECRET not in span.to_json() for span in (failed, succeeded))


def test_a_command_outside_any_trace_has_no_span(exported: InMemorySpanExporter) -> None:
    assert not trace.get_current_span().get_span_context().is_valid
    spans = tracing.CommandSpans()
    spans.started(_started())
    assert exported.get_finished_spans() == ()


@pytest.mark.parametrize(
    "error",
    [
        AutoReconnect("cut"),
        ServerSelectionTimeoutError("no primary"),
        NotPrimaryError("stepped down"),
        ExecutionTimeout("slow", 50),
        OperationFailure("conflict", 112),
        OperationFailure("disk", 14031),
        OperationFailure("aborted", 251),
    ],
)
def test_a_fault_that_passes_is_unavailable(error: PyMongoError) -> None:
    with pytest.raises(StoreUnavailableError) as caught, translated():
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [DuplicateKeyError("twice", 11000), InvalidOperation("misuse"), OperationFailure("bad query", 2)]
)
def test_a_fault_of_ours_is_not_hidden(error: PyMongoError) -> None:
    with pytest.raises(type(error)), translated():
        raise error
