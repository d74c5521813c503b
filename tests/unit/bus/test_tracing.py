"""One trace from the sender to the subscriber, one span each."""

import asyncio

from bus.api import Delivery, Done, Outcome
from bus.memory import MemoryBus
from bus.tracing import destination_of
from contracts import ids, topology
from contracts.subjects import execute_subject
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags


def test_destinations_have_no_ids() -> None:
    assert destination_of(execute_subject(ids.new_id(ids.RUN))) == "cmd.run.*.execute"
    assert destination_of("feed.usr_" + "0" * 26) == "feed.*"


async def test_the_subscriber_runs_in_the_trace_of_the_headers() -> None:
    bus = MemoryBus("conversation-1")
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def subscriber(_: Delivery) -> Outcome:
        seen.set_result(trace.get_current_span().get_span_context().trace_id)
        return Done()

    parent = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
    headers: dict[str, str] = {}
    with trace.use_span(NonRecordingSpan(parent)):
        inject(headers)
    # As the relay does: outside the trace, with the headers of the outbox row.
    await bus.publish(execute_subject(ids.new_id(ids.RUN)), b"", message_id="1", headers=headers)
    consuming = asyncio.create_task(bus.consume(topology.EXECUTE, subscriber, concurrency=1))
    assert await asyncio.wait_for(seen, 5) == 0xABC
    bus.stop_consuming()
    await consuming
    bus.broker.close()
