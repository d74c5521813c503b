"""What is measured of attempts and model calls: wrappers around the real parts, so that those know nothing of metrics.

A token costs nothing here: the sink is wrapped for the first piece of text only.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from contracts.ids import moment_of
from runtime import genai, metrics
from runtime.names import Metric

from inference.domain.upstream_errors import UpstreamError
from inference.ports import Generated, ModelCall, Models, Sink, Telemetry


@dataclass(slots=True)
class _Attempt:
    """What the attempt under way is about; the tasks that it starts inherit it."""

    run_id: str
    path: str
    asked: bool


_attempt: ContextVar[_Attempt | None] = ContextVar("attempt", default=None)


class MeasuredAttempts:
    """Implements ports.Telemetry around another."""

    def __init__(self, inner: Telemetry) -> None:
        self._inner = inner

    @contextmanager
    def attempt(
        self, *, run_id: str, attempt: int, path: str, goes_on: bool, resumes: bool = False
    ) -> Iterator[str | None]:
        """See ports.Telemetry."""
        metrics.add(Metric.ATTEMPTS, path=path)
        if goes_on and not resumes:
            metrics.add(Metric.TAKEOVERS, path=path)
        token = _attempt.set(_Attempt(run_id, path, asked=goes_on))
        try:
            inner = self._inner.attempt(run_id=run_id, attempt=attempt, path=path, goes_on=goes_on, resumes=resumes)
            with inner as trace_id:
                yield trace_id
        finally:
            _attempt.reset(token)


class MeasuredModels:
    """Implements ports.Models around another."""

    def __init__(self, inner: Models) -> None:
        self._inner = inner

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        """See ports.Models."""
        _measure_added()
        values = (genai.CHAT, call.model.provider.name, call.model.upstream_name)
        labels = dict(zip(genai.LABELS, values, strict=True))
        began, error_type = time.perf_counter(), "cancelled"

        def first() -> None:
            metrics.observe(Metric.GENAI_FIRST_CHUNK, time.perf_counter() - began, **labels)

        try:
            result = await self._inner.generate(call, _FirstText(sink, first))
            error_type = ""
        except UpstreamError as error:
            error_type = error.code.value
            metrics.add(Metric.MODEL_FAILURES, model=call.model.id, code=error_type)
            raise
        finally:
            ended = {**labels, genai.label(genai.ERROR_TYPE): error_type}
            metrics.observe(Metric.GENAI_DURATION, time.perf_counter() - began, **ended)
        if result.usage is not None:
            kind = genai.label(genai.TOKEN_TYPE)
            metrics.observe(Metric.GENAI_TOKENS, result.usage.input_tokens, **labels, **{kind: "input"})
            metrics.observe(Metric.GENAI_TOKENS, result.usage.output_tokens, **labels, **{kind: "output"})
        return result


def _measure_added() -> None:
    attempt = _attempt.get()
    if attempt is not None and not attempt.asked:
        attempt.asked = True
        waited = max(0.0, time.time() - moment_of(attempt.run_id))
        metrics.observe(Metric.FIRST_TOKEN_ADDED, waited, path=attempt.path)


class _FirstText:
    """A sink that tells of the first piece and is out of the way from then on."""

    def __init__(self, sink: Sink, told: Callable[[], None]) -> None:
        self._sink = sink
        self._told = told
        self.room = sink.room

    def text(self, delta: str) -> None:
        self._first()
        self._sink.text(delta)

    def reasoning(self, delta: str) -> None:
        self._first()
        self._sink.reasoning(delta)

    def _first(self) -> None:
        self._told()
        # From now on the calls go straight to the sink.
        self.__dict__.update(text=self._sink.text, reasoning=self._sink.reasoning)

    @property
    def is_full(self) -> bool:
        return self._sink.is_full

    @property
    def is_over(self) -> bool:
        return self._sink.is_over
