"""The span of an attempt: a child of the message's trace the first time, later a root of its own that links back to it."""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from runtime import telemetry

_tracer = telemetry.tracer("everthread.inference")


class AttemptSpans:
    """Implements ports.Telemetry."""

    @contextmanager
    def attempt(
        self, *, run_id: str, attempt: int, path: str, goes_on: bool, resumes: bool = False
    ) -> Iterator[str | None]:
        """See ports.Telemetry."""
        came_with = trace.get_current_span().get_span_context()
        with _tracer.start_as_current_span(
            "run attempt",
            context=Context() if goes_on else None,
            links=[Link(came_with)] if goes_on and came_with.is_valid else None,
            attributes={"everthread.run_id": run_id, "everthread.attempt": attempt, "everthread.path": path},
        ):
            yield telemetry.recorded_trace_id()
