"""Which traces are exported: a share of them, and beyond that all that failed and every takeover.

The decision about a trace falls at its first span, when nobody knows how it ends. So a span that is not in the share is
recorded all the same and held back; when the work that it belongs to in this process has ended (the local root: a request, a
call, a delivery), all of it is exported if any of it failed, and dropped otherwise. Each service decides so for its own part.
An attempt after the first is a root of its own (see inference) and always exported.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState, get_current_span
from opentelemetry.util.types import Attributes

ATTEMPT: Final = "everthread.attempt"
SPANS_HELD: Final = 256
"""Of one local root; beyond that the oldest stay and the rest is dropped."""
ROOTS_HELD: Final = 10_000


class ShareAndTakeovers(Sampler):
    """Exports `share` (0 to 1) of the traces by their id, whatever the parent decided for its own, and every takeover."""

    def __init__(self, share: float) -> None:
        self._share = TraceIdRatioBased(share)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See Sampler."""
        parent = get_current_span(parent_context).get_span_context()
        number = (attributes or {}).get(ATTEMPT, 0)
        if (isinstance(number, int) and number > 1) or (parent.is_valid and parent.trace_flags.sampled):
            decision = Decision.RECORD_AND_SAMPLE
        elif parent.is_valid:
            decision = Decision.RECORD_ONLY
        else:
            share = self._share.should_sample(parent_context, trace_id, name, kind, attributes, links)
            inside = share.decision is Decision.RECORD_AND_SAMPLE
            decision = Decision.RECORD_AND_SAMPLE if inside else Decision.RECORD_ONLY
        return SamplingResult(decision, attributes, trace_state)

    def get_description(self) -> str:
        """See Sampler."""
        return f"ShareAndTakeovers({self._share.get_description()})"


@dataclass(slots=True)
class _Held:
    spans: list[ReadableSpan] = field(default_factory=list)
    failed: bool = False


class KeepFailures(SpanProcessor):
    """Passes what is sampled on to `inner`, and of the rest what failed. Called from any thread; each call is short."""

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner = inner
        self._root_of: dict[int, int] = {}
        self._held: dict[int, _Held] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """See SpanProcessor."""
        self._inner.on_start(span, parent_context)
        own = span.get_span_context()
        if own is None or own.trace_flags.sampled:
            return
        if span.parent is None or span.parent.is_remote:
            if len(self._held) < ROOTS_HELD:
                self._held[own.span_id] = _Held()
                self._root_of[own.span_id] = own.span_id
        elif (root := self._root_of.get(span.parent.span_id)) is not None:
            self._root_of[own.span_id] = root

    def on_end(self, span: ReadableSpan) -> None:
        """See SpanProcessor."""
        own = span.get_span_context()
        if own is None or own.trace_flags.sampled:
            self._inner.on_end(span)
            return
        failed = span.status.status_code is StatusCode.ERROR
        root = self._root_of.pop(own.span_id, None)
        held = None if root is None else self._held.get(root)
        if held is None:
            # Its root has ended before it, or too many are open: it stands for itself.
            if failed:
                self._inner.on_end(_sampled(span, own))
            return
        held.failed = held.failed or failed
        if len(held.spans) < SPANS_HELD or root == own.span_id:
            held.spans.append(_sampled(span, own))
        if root == own.span_id:
            del self._held[root]
            for kept in held.spans if held.failed else ():
                self._inner.on_end(kept)

    def shutdown(self) -> None:
        """See SpanProcessor."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """See SpanProcessor."""
        return self._inner.force_flush(timeout_millis)


def _sampled(span: ReadableSpan, own: SpanContext) -> ReadableSpan:
    """The span as exporters take it: they leave out what is not marked as sampled."""
    context = SpanContext(
        own.trace_id, own.span_id, own.is_remote, TraceFlags(own.trace_flags | TraceFlags.SAMPLED), own.trace_state
    )
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
