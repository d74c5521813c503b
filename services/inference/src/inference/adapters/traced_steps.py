"""Spans of what an attempt does besides calling a model: tool calls, and looking for passages. No argument, result or query
is on them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry.trace import SpanKind, StatusCode
from runtime import genai, telemetry

from inference.agents.domain.config import AgentConfig
from inference.ports import Cite, Passages, Tools
from inference.retrieval.domain.ranking import Passage
from inference.retrieval.ports import CorpusUnavailableError
from inference.tools.domain.choice import Situation
from inference.tools.domain.outcome import ToolFailedError, ToolOutcome
from inference.tools.domain.spec import ToolSpec
from inference.tools.ports import Tool, ToolContext
from inference.tools.toolbox import Offered

_tracer = telemetry.tracer("everthread.inference")
STEP: Final = "everthread.step"
FOUND: Final = "everthread.passages"


class TracedPassages:
    """Implements ports.Passages around another."""

    def __init__(self, inner: Passages) -> None:
        self._inner = inner

    async def passages(self, corpora: Sequence[str], query: str, *, limit: int) -> list[Passage]:
        """See ports.Passages."""
        # The names of corpora hold ids of users, so there is no gen_ai.data_source.id.
        with _tracer.start_as_current_span(
            genai.RETRIEVAL,
            record_exception=False,
            set_status_on_exception=False,
            attributes={genai.OPERATION_NAME: genai.RETRIEVAL, genai.TOP_K: limit},
        ) as span:
            try:
                found = await self._inner.passages(corpora, query, limit=limit)
            except CorpusUnavailableError:
                span.set_attribute(genai.ERROR_TYPE, "corpus_unavailable")
                span.set_status(StatusCode.ERROR)
                raise
            span.set_attribute(FOUND, len(found))
            return found

    async def has_documents(self, corpora: Sequence[str]) -> bool:
        """See ports.Passages."""
        return await self._inner.has_documents(corpora)


class TracedTools:
    """Implements ports.Tools around another: each try of a tool is a span."""

    def __init__(self, inner: Tools) -> None:
        self._inner = inner

    async def offer(self, agent: AgentConfig, situation: Situation, cite: Cite) -> Offered:
        """See ports.Tools."""
        offered = await self._inner.offer(agent, situation, cite)
        return Offered({name: _TracedTool(tool) for name, tool in offered.tools.items()}, offered.left_out)

    def check(self, spec: ToolSpec, arguments: Any) -> str | None:
        """See ports.Tools."""
        return self._inner.check(spec, arguments)


class _TracedTool:
    """Implements tools.ports.Tool around another."""

    def __init__(self, inner: Tool) -> None:
        self._inner = inner

    @property
    def spec(self) -> ToolSpec:
        """See tools.ports.Tool."""
        return self._inner.spec

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """See tools.ports.Tool."""
        name = self._inner.spec.name
        with _tracer.start_as_current_span(
            f"{genai.EXECUTE_TOOL} {name}",
            kind=SpanKind.INTERNAL,
            record_exception=False,
            attributes={
                genai.OPERATION_NAME: genai.EXECUTE_TOOL,
                genai.TOOL_NAME: name,
                genai.TOOL_TYPE: "function",
                genai.TOOL_CALL_ID: context.tool_call_id,
                STEP: context.step,
            },
            set_status_on_exception=False,
        ) as span:
            try:
                return await self._inner.call(arguments, context)
            except Exception as error:
                span.set_attribute(genai.ERROR_TYPE, _kind_of(error))
                span.set_status(StatusCode.ERROR)
                raise


def _kind_of(error: Exception) -> str:
    return "tool_failed" if isinstance(error, ToolFailedError) else type(error).__name__
