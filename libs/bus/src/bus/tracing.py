"""Trace context in message headers, and one span per published and per handled message (OpenTelemetry's messaging names)."""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_tracer = trace.get_tracer("everthread.bus")
_ID = re.compile(r"[a-z]{3}_[0-9A-HJKMNP-TV-Z]{26}")


def destination_of(subject: str) -> str:
    """The subject with ids replaced by `*`, so that spans of one kind share a name."""
    return ".".join("*" if _ID.fullmatch(token) else token for token in subject.split("."))


@contextmanager
def sending(subject: str, headers: MutableMapping[str, str], message_id: str) -> Iterator[Span]:
    """A producer span. Its parent is the trace context in `headers` where there is one (an outbox row's), else the current
    one; its own context is written into `headers`."""
    parent = propagate.extract(headers) if "traceparent" in headers else None
    destination = destination_of(subject)
    with _tracer.start_as_current_span(
        f"send {destination}",
        context=parent,
        kind=SpanKind.PRODUCER,
        attributes={
            "messaging.system": "nats",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.template": destination,
            "messaging.message.id": message_id,
        },
    ) as span:
        propagate.inject(headers)
        yield span


@contextmanager
def processing(subject: str, headers: Mapping[str, str], consumer: str, delivered: int) -> Iterator[Span]:
    """A consumer span, child of the span that sent the message."""
    destination = destination_of(subject)
    with _tracer.start_as_current_span(
        f"process {destination}",
        context=propagate.extract(headers),
        kind=SpanKind.CONSUMER,
        attributes={
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.template": destination,
            "messaging.consumer.group.name": consumer,
            "messaging.nats.delivered": delivered,
        },
    ) as span:
        yield span


def mark_failed(span: Span, sentence: str) -> None:
    """Show the span as failed."""
    span.set_status(Status(StatusCode.ERROR, sentence))


def note_snapshot(sequence: int, size: int) -> None:
    """Mark on the span under way (a run's attempt) that a snapshot of `size` bytes, up to event `sequence`, is stored."""
    trace.get_current_span().add_event(
        "everthread.snapshot", {"everthread.sequence": sequence, "everthread.bytes": size}
    )
