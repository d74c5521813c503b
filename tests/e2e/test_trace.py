"""One message, one trace: HTTP, gRPC, MongoDB, NATS, the worker, what it does, the stored answer and the feed, by both paths,
received as real OTLP."""

import asyncio
import re
import secrets
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.e2e.test_documents import read, upload
from tests.mesh import Mesh, create_thread, stored_answer, writing
from tests.otlp_receiver import OtlpReceiver, Span

SERVICES = {"everthread-gateway", "everthread-conversation", "everthread-inference", "everthread-notifier"}
CALLER = "00f067aa0ba902b7"
ID = re.compile(r"[a-z]{3}_[0-9A-HJKMNP-TV-Z]{26}")
FACT = "The keel of the brig Vega was laid in Bremen in 1871."
TOOLS = 'tokens=4 call=calculator:{"expression":"6*7"} then tokens=8'
QUESTION = "When was the keel of the brig Vega laid?"
SECRETS = ("6*7", "Vega", "1871", "tokens=")
ENDED = ("everthread-notifier", "process thread.*.run.ended")
"""The last thing that a message makes happen, for every path."""


@dataclass(frozen=True)
class Trace:
    """The spans of one trace."""

    spans: Sequence[Span]

    @property
    def ids(self) -> set[str]:
        return {span.span_id for span in self.spans}

    def named(self, service: str, name: str) -> list[Span]:
        return [span for span in self.spans if (span.service, span.name) == (f"everthread-{service}", name)]

    def only(self, service: str, name: str) -> Span:
        (span,) = self.named(service, name)
        return span

    def under(self, ancestor: Span, service: str, name: str) -> list[Span]:
        """The spans of that name which are `ancestor`'s children, or theirs, in the order in which they began."""
        parents = {span.span_id: span.parent_span_id for span in self.spans}

        def below(span: Span) -> bool:
            at = span.parent_span_id
            while at in parents and at != ancestor.span_id:
                at = parents[at]
            return at == ancestor.span_id

        return sorted((span for span in self.named(service, name) if below(span)), key=lambda span: span.start)

    def below(self, ancestor: Span, service: str, name: str) -> Span:
        """The first of them; there must be one."""
        found = self.under(ancestor, service, name)
        assert found, (
            f"no {name!r} of {service} below {ancestor.name!r}: {sorted((s.service, s.name) for s in self.spans)}"
        )
        return found[0]


async def arrived(otlp: OtlpReceiver, trace_id: str, *, caller: str = "", also: Callable[[Trace], bool]) -> Trace:
    """The trace, once it is all there: the last thing told, no span without its parent, and `also`. Services export once a
    second each, so a span may come before its parent."""
    deadline = time.monotonic() + 20
    while True:
        trace = Trace([span for span in otlp.spans() if span.trace_id == trace_id])
        orphans = [(s.service, s.name) for s in trace.spans if s.parent_span_id not in trace.ids | {caller}]
        ended = any((span.service, span.name) == ENDED for span in trace.spans)
        if ended and not orphans and also(trace):
            return trace
        if time.monotonic() > deadline:
            raise AssertionError(f"spans without their parent: {orphans}; there is {[s.name for s in trace.spans]}")
        await asyncio.sleep(0.2)


async def told(client: httpx2.AsyncClient, content: str, trace_id: str, **fields: Any) -> dict[str, Any]:
    """Send a message whose caller has a trace already; what was accepted, and its thread."""
    thread = await create_thread(client)
    response = await client.post(
        f"/v1/threads/{thread}/messages",
        json={"content": content, **fields},
        headers={"traceparent": f"00-{trace_id}-{CALLER}-01"},
    )
    assert response.status_code == 202, response.text
    assert response.headers["x-trace-id"] == trace_id
    accepted: dict[str, Any] = response.json()
    return accepted | {"thread_id": thread}


async def one(otlp: OtlpReceiver, wanted: Callable[[Span], bool]) -> Span:
    """The only span like this, once it has come."""
    deadline = time.monotonic() + 20
    while not (found := [span for span in otlp.spans() if wanted(span)]):
        assert time.monotonic() < deadline, "no such span has come"
        await asyncio.sleep(0.2)
    (span,) = found
    return span


def check_conventions(trace: Trace) -> None:
    """What holds for every span, by its kind; nowhere an id in a name, nowhere a word of what was said."""
    for span in trace.spans:
        assert not ID.search(span.name), span.name
        assert not [word for word in SECRETS if word in str((span.attributes, span.events, span.status_message))], span
        match span.attributes:
            case {"http.request.method": method}:
                assert span.kind == "SERVER"
                assert span.name == f"{method} {span.attributes['http.route']}"
                assert {"url.path", "url.scheme", "http.response.status_code"} <= set(span.attributes)
            case {"rpc.system.name": system}:
                assert span.kind in {"CLIENT", "SERVER"}
                assert (system, span.attributes["rpc.method"]) == ("grpc", span.name)
                assert span.attributes["rpc.response.status_code"] == "OK"
            case {"db.system.name": system}:
                assert (span.kind, system, span.service) == ("CLIENT", "mongodb", "everthread-conversation")
                assert span.name.split()[0] == span.attributes["db.operation.name"]
                assert "db.namespace" in span.attributes
            case {"messaging.system": system}:
                assert (system, span.kind) in {("nats", "PRODUCER"), ("nats", "CONSUMER")}
                operation, destination = span.name.split(" ")
                assert span.attributes["messaging.operation.name"] == operation
                assert span.attributes["messaging.destination.template"] == destination
                wanted = {"send": "messaging.message.id", "process": "messaging.consumer.group.name"}[operation]
                assert span.attributes[wanted]
            case {"gen_ai.operation.name": operation}:
                assert span.service == "everthread-inference"
                assert span.name.split(" ")[0] == operation
            case _:
                assert span.name == "run attempt", span


def check_the_way(trace: Trace, path: str, run_id: str) -> Span:
    """From the door to the feed, each under what caused it; the attempt's span."""
    (door,) = [span for span in trace.spans if span.parent_span_id == CALLER]
    assert (door.service, door.kind, door.name) == (
        "everthread-gateway",
        "SERVER",
        "POST /v1/threads/{thread_id}/messages",
    )
    assert door.attributes["everthread.path"] == path
    assert door.attributes["feature_flag.result.variant"] == path
    (evaluated,) = [attributes for name, attributes in door.events if name == "feature_flag.evaluation"]
    assert evaluated.items() >= {"feature_flag.key": "path", "feature_flag.result.variant": path}.items()
    assert {"feature_flag.provider.name", "feature_flag.result.reason", "feature_flag.version"} <= set(evaluated)

    accept = "everthread.v1.ConversationService/AcceptMessage"
    accepting = trace.below(trace.below(door, "gateway", accept), "conversation", accept)
    for stored in ("insert messages", "insert runs", "insert outbox", "commitTransaction"):
        trace.below(accepting, "conversation", stored)
    trace.below(accepting, "notifier", "process thread.*.message.accepted")
    if path == "durable_event":
        sending = trace.below(accepting, "conversation", "send cmd.run.*.execute")
        taking = trace.below(sending, "inference", "process cmd.run.*.execute")
        assert taking.attributes["messaging.nats.delivered"] == 1
    else:
        generate = "everthread.v1.InferenceService/Generate"
        taking = trace.below(trace.below(door, "gateway", generate), "inference", generate)
    attempt = trace.below(taking, "inference", "run attempt")
    assert attempt == trace.only("inference", "run attempt")
    assert attempt.links == ()
    assert attempt.attributes == {
        "everthread.run_id": run_id,
        "everthread.attempt": 1,
        "everthread.path": path,
    }
    check_the_end(trace, attempt, path)
    return attempt


def check_the_end(trace: Trace, attempt: Span, path: str) -> None:
    """Stored by conversation, said to the notifier, put into the feed: all of it caused by the attempt."""
    get = "everthread.v1.ConversationService/GetRunInput"
    trace.below(trace.below(attempt, "inference", get), "conversation", get)
    if path == "durable_event":
        recording = trace.under(attempt, "conversation", "process run.*.*.snapshot")[-1]
        places = [values["everthread.sequence"] for name, values in attempt.events if name == "everthread.snapshot"]
        assert places == sorted(set(places)) != []
    else:
        record = "everthread.v1.ConversationService/RecordRun"
        recording = trace.below(trace.below(attempt, "inference", record), "conversation", record)
    for stored in ("find runs", "update runs", "update messages", "insert ledger", "commitTransaction"):
        trace.below(recording, "conversation", stored)
    saying = trace.below(recording, "conversation", "send thread.*.run.ended")
    heard = trace.under(saying, "notifier", "process thread.*.run.ended")
    assert "notifier-feed" in {hearing.attributes["messaging.consumer.group.name"] for hearing in heard}
    trace.below(saying, "notifier", "send feed.*")


def check_calls(trace: Trace, attempt: Span, *, model: str, finished: list[str]) -> list[Span]:
    """The model calls of the attempt, in order."""
    calls = trace.under(attempt, "inference", f"chat {model}")
    assert [call.attributes["gen_ai.response.finish_reasons"] for call in calls] == [[reason] for reason in finished]
    for call in calls:
        assert call.kind == "CLIENT"
        assert call.attributes["gen_ai.provider.name"] == "openai"
        assert call.attributes["gen_ai.request.model"] == model
        assert call.attributes["gen_ai.usage.input_tokens"] > 0
        assert call.attributes["gen_ai.usage.output_tokens"] > 0
        assert call.attributes["gen_ai.response.time_to_first_chunk"] > 0
        # One for the first token, none for those after it.
        assert [name for name, _ in call.events] == ["gen_ai.first_chunk"]
    return calls


@pytest.mark.parametrize("path", ["durable_event", "legacy_sync"])
async def test_one_trace_covers_all_services(mesh: Mesh, otlp: OtlpReceiver, path: str) -> None:
    plain, tools, retrieval = (secrets.token_hex(16) for _ in range(3))
    async with mesh.client(user=f"traced-{path}") as client:
        client.headers["x-everthread-path"] = path
        document = await upload(
            client, f"# Ships\n\n{FACT}", title="Ships of the yard", url="https://example.org/ships"
        )
        assert (await read(client, document["id"]))["state"] == "ready"
        runs = {
            plain: await told(client, "tokens=300 rate=300", plain),
            tools: await told(client, TOOLS, tools, model="openai:scripted-tools"),
            retrieval: await told(client, QUESTION, retrieval),
        }
        for accepted in runs.values():
            assert accepted["path"] == path
            answer = await stored_answer(client, accepted["thread_id"], accepted["run_id"])
            assert answer["status"] == "complete"
    attempts = {}
    for trace_id, accepted in runs.items():
        trace = await arrived(otlp, trace_id, caller=CALLER, also=lambda trace: _is_told(trace, SERVICES))
        check_conventions(trace)
        attempts[trace_id] = (trace, check_the_way(trace, path, accepted["run_id"]))
        # No span per token.
        assert len(trace.spans) < 60

    trace, attempt = attempts[plain]
    check_calls(trace, attempt, model="gpt-4o-mini", finished=["stop"])

    trace, attempt = attempts[tools]
    asked, answered = check_calls(trace, attempt, model="scripted", finished=["tool_calls", "stop"])
    tool = trace.below(attempt, "inference", "execute_tool calculator")
    assert asked.end <= tool.start <= tool.end <= answered.start
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "calculator",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_0",
        "everthread.step": 2,
    }

    trace, attempt = attempts[retrieval]
    (call,) = check_calls(trace, attempt, model="gpt-4o-mini", finished=["stop"])
    search = trace.below(attempt, "inference", "retrieval")
    assert search.end <= call.start
    assert search.attributes["everthread.passages"] == 1
    assert search.attributes["gen_ai.request.top_k"] > 0


async def test_a_takeover_starts_a_root_of_its_own_and_links_back(mesh: Mesh, otlp: OtlpReceiver) -> None:
    trace_id = secrets.token_hex(16)
    async with mesh.client() as client:
        accepted = await told(client, "tokens=200 rate=50", trace_id)
        run_id = accepted["run_id"]
        victim = await writing(mesh, client, run_id)
        killed = {victim: mesh.signal(victim, signal.SIGKILL)}
        answer = await stored_answer(client, accepted["thread_id"], run_id)
        assert answer["status"] == "complete"
        told_attempts = (await client.get(f"/v1/runs/{run_id}/timeline")).json()["attempts"]
    await mesh.wait_ready(changed=killed)
    root = await one(otlp, lambda span: _takes_over(span, run_id))
    assert root.parent_span_id == ""
    assert root.trace_id != trace_id
    # Each attempt can be looked up in a viewer.
    assert [span["trace_id"] for span in told_attempts] == [trace_id, root.trace_id]
    assert root.attributes["everthread.path"] == "durable_event"
    # What goes on goes on in the new trace, connected to its end.
    others = SERVICES - {"everthread-gateway"}
    trace = await arrived(otlp, root.trace_id, also=lambda trace: _is_told(trace, others))
    assert [span for span in trace.spans if not span.parent_span_id] == [root]
    check_conventions(trace)
    check_calls(trace, root, model="gpt-4o-mini", finished=["stop"])
    check_the_end(trace, root, "durable_event")
    # The message's own trace is the one that it links to: by the delivery that it was taken with, which hangs there.
    (link,) = root.links
    assert link.trace_id == trace_id
    delivery = await one(otlp, lambda span: (span.trace_id, span.span_id) == (trace_id, link.span_id))
    assert (delivery.service, delivery.name) == ("everthread-inference", "process cmd.run.*.execute")
    assert delivery.attributes["messaging.nats.delivered"] >= 2
    assert trace.under(delivery, "inference", "run attempt") == []


def _is_told(trace: Trace, services: set[str]) -> bool:
    """All of these have a part in it, and the last has come: its end is in the feed."""
    feeding = {"messaging.consumer.group.name": "notifier-feed"}.items()
    ended = [span for span in trace.spans if span.name == "process thread.*.run.ended"]
    return _services(trace) == services and any(feeding <= span.attributes.items() for span in ended)


def _services(trace: Trace) -> set[str]:
    return {span.service for span in trace.spans}


def _takes_over(span: Span, run_id: str) -> bool:
    return span.attributes.get("everthread.run_id") == run_id and span.attributes.get("everthread.attempt") == 2
