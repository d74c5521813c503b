"""What a model call leaves behind for an operator: spans by the conventions, without text unless asked for, and figures."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from contracts.ids import RUN, new_id
from contracts.registry import Model, load_registry
from inference.adapters import chat_models
from inference.adapters.chat_models import ChatModels
from inference.adapters.measurements import MeasuredAttempts, MeasuredModels
from inference.domain.upstream_errors import UpstreamError
from inference.ports import InputMessage, ModelCall
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from runtime import genai, metrics
from runtime.names import Metric

from tests.exposition import parse
from tests.upstream import UpstreamServer, expected_text

SECRET = "tokens=4 seed=7"


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.said = ""
        self.is_full = False
        self.is_over = False

    def text(self, delta: str) -> None:
        self.said += delta

    def reasoning(self, delta: str) -> None:
        self.said += f"<{delta}>"

    async def room(self) -> None:
        raise AssertionError("never full")


class NoSpans:
    """ports.Telemetry without any."""

    @contextmanager
    def attempt(self, *, run_id: str, attempt: int, path: str, goes_on: bool, resumes: bool = False) -> Iterator[None]:
        yield


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(chat_models, "_tracer", provider.get_tracer("test"))
    return exporter


@pytest.fixture
async def upstream() -> AsyncIterator[UpstreamServer]:
    async with UpstreamServer() as server:
        yield server


def call_of(upstream: UpstreamServer, content: str) -> ModelCall:
    registry = load_registry({"OPENAI_BASE_URL": upstream.base_url})
    model: Model = registry.models["openai:gpt-4o-mini"]
    return ModelCall(model=model, messages=[InputMessage("user", content)])


async def generate(call: ModelCall, sink: Sink, *, trace_text: bool = False) -> None:
    models = ChatModels(idle_seconds=5, connect_seconds=5, trace_text=trace_text)
    try:
        await MeasuredModels(models).generate(call, sink)
    finally:
        await models.close()


def total(metric: Metric, **labels: str) -> float:
    name = metric.value.samples[-1]
    samples = parse(metrics.exposition().decode())
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.mark.parametrize("switched_on", [False, True])
async def test_text_is_on_the_span_only_when_switched_on(
    upstream: UpstreamServer, spans: InMemorySpanExporter, switched_on: bool
) -> None:
    sink = Sink()
    await generate(call_of(upstream, SECRET), sink, trace_text=switched_on)
    assert sink.said == expected_text(SECRET)
    (span,) = spans.get_finished_spans()
    attributes: dict[str, Any] = dict(span.attributes or {})
    assert attributes[genai.OPERATION_NAME] == "chat"
    assert attributes[genai.PROVIDER_NAME] == "openai"
    assert attributes[genai.OUTPUT_TOKENS] == 4
    assert attributes[genai.FINISH_REASONS] == ("stop",)
    everything = json.dumps([attributes, [(event.name, dict(event.attributes or {})) for event in span.events]])
    if switched_on:
        (asked,) = json.loads(attributes[genai.INPUT_MESSAGES])
        (answered,) = json.loads(attributes[genai.OUTPUT_MESSAGES])
        assert asked == {"role": "user", "parts": [{"type": "text", "content": SECRET}]}
        assert answered["parts"] == [{"type": "text", "content": sink.said}]
    else:
        assert SECRET not in everything
        assert sink.said not in everything
        assert genai.INPUT_MESSAGES not in attributes


async def test_a_call_is_measured_once_and_its_tokens_by_kind(upstream: UpstreamServer) -> None:
    model = {"gen_ai_request_model": "gpt-4o-mini"}
    before = [
        total(Metric.GENAI_DURATION, error_type="", **model),
        total(Metric.GENAI_FIRST_CHUNK, **model),
        total(Metric.GENAI_TOKENS, gen_ai_token_type="output", **model),
    ]
    sink = Sink()
    await generate(call_of(upstream, "tokens=9 reasoning=2"), sink)
    assert sink.said.count("<") == 2
    assert [
        total(Metric.GENAI_DURATION, error_type="", **model),
        total(Metric.GENAI_FIRST_CHUNK, **model),
        total(Metric.GENAI_TOKENS, gen_ai_token_type="output", **model),
    ] == [count + 1 for count in before]


async def test_a_failed_call_is_counted_by_its_class(upstream: UpstreamServer) -> None:
    before = total(Metric.MODEL_FAILURES, code="upstream_rejected")
    with pytest.raises(UpstreamError):
        await generate(call_of(upstream, "tokens=1 status=400"), Sink())
    assert total(Metric.MODEL_FAILURES, code="upstream_rejected") == before + 1
    assert total(Metric.GENAI_DURATION, error_type="upstream_rejected") >= 1


@pytest.mark.parametrize(("goes_on", "added"), [(False, 1), (True, 0)])
async def test_what_we_add_is_measured_on_the_first_call_of_a_first_attempt(
    upstream: UpstreamServer, goes_on: bool, added: int
) -> None:
    before = total(Metric.FIRST_TOKEN_ADDED), total(Metric.TAKEOVERS), total(Metric.ATTEMPTS)
    with MeasuredAttempts(NoSpans()).attempt(run_id=new_id(RUN), attempt=1, path="durable_event", goes_on=goes_on):
        for _ in range(2):
            await generate(call_of(upstream, "tokens=1"), Sink())
    after = total(Metric.FIRST_TOKEN_ADDED), total(Metric.TAKEOVERS), total(Metric.ATTEMPTS)
    assert after == (before[0] + added, before[1] + (not added), before[2] + 1)
