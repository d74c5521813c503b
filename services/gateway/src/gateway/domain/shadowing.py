"""Shadow runs beside what was served: the same input through both paths, so that every difference is the path's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from gateway.domain.comparison import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowPair:
    """What legacy_sync served and what durable_event made of the same input. `similarity` is that of the texts, from 0 to 1,
    None until the shadow has ended."""

    served: RunResult
    shadow: RunResult
    similarity: float | None = None
    equal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side of all pairs whose shadow has ended. Times are sorted milliseconds."""

    failed: int
    errors: dict[str, int]
    first_text_ms: tuple[int, ...]
    duration_ms: tuple[int, ...]
    input_tokens: int
    output_tokens: int
    cost_microusd: int
    operations: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowFigures:
    """All pairs. `compared` are those where both sides were completed; of them `equal` have the same text, and `similarity` is
    their mean, None where there are none."""

    pairs: int
    ended: int
    compared: int
    equal: int
    similarity: float | None
    served: Side
    shadow: Side


def shadow_figures(pairs: Sequence[ShadowPair]) -> ShadowFigures:
    """Count them."""
    ended = [pair for pair in pairs if pair.similarity is not None]
    compared = [pair for pair in ended if pair.served.status == pair.shadow.status == "complete"]
    return ShadowFigures(
        pairs=len(pairs),
        ended=len(ended),
        compared=len(compared),
        equal=sum(pair.equal for pair in compared),
        similarity=fmean(pair.similarity or 0.0 for pair in compared) if compared else None,
        served=_side([pair.served for pair in ended]),
        shadow=_side([pair.shadow for pair in ended]),
    )


def _side(results: Sequence[RunResult]) -> Side:
    errors: dict[str, int] = {}
    for result in results:
        if result.status == "error":
            errors[result.error_code] = errors.get(result.error_code, 0) + 1
    return Side(
        failed=sum(errors.values()),
        errors=dict(sorted(errors.items())),
        first_text_ms=_sorted(results, lambda result: result.first_text_ms),
        duration_ms=_sorted(results, lambda result: result.duration_ms),
        input_tokens=sum(result.input_tokens for result in results),
        output_tokens=sum(result.output_tokens for result in results),
        cost_microusd=sum(result.cost_microusd or 0 for result in results),
        operations=_sorted(results, lambda result: result.operations),
    )


def _sorted(results: Sequence[RunResult], of: Callable[[RunResult], int | None]) -> tuple[int, ...]:
    return tuple(sorted(value for value in map(of, results) if value is not None))
