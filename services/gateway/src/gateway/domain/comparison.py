"""Both paths side by side: what is known of each, and whether the difference is more than chance.

The interval of a difference of proportions is Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10); it
holds for few runs and for rates near 0, where the usual one does not. That of a quantile is by order statistics, so that it
assumes nothing about how the times are distributed. Both need normal quantiles only, which the standard library has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor, sqrt
from statistics import NormalDist
from typing import Final

from gateway.domain.path_flag import PATHS

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How one run went. Times are milliseconds since its acceptance, None where there is no text or no end yet; `age` is how
    long ago it was accepted, in seconds. `operations` are the database's, None where they are not known; `departed`: nobody
    watched it any more before its end; `overdue`: it is long past its deadline and has none."""

    path: str
    status: str
    error_code: str = ""
    age: float = 0.0
    first_text_ms: int | None = None
    duration_ms: int | None = None
    cost_microusd: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 1
    operations: int | None = None
    departed: bool = False
    overdue: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFigures:
    """What is known of one path. `errors` counts failed runs by code, `stalled` open ones that should have said something
    long ago, `orphans` those that were given up or are overdue; times are sorted milliseconds. Of the runs that have ended,
    `departed` were watched by nobody any more, of which `survived` were completed all the same."""

    path: str
    runs: int = 0
    ended: int = 0
    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    stalled: int = 0
    orphans: int = 0
    departed: int = 0
    survived: int = 0
    attempts: int = 0
    cost_microusd: int = 0
    output_tokens: int = 0
    operations: tuple[int, ...] = ()
    errors: dict[str, int] = field(default_factory=dict)
    first_text_ms: tuple[int, ...] = ()
    duration_ms: tuple[int, ...] = ()

    @property
    def judged(self) -> int:
        """Runs that count: those that ended, and those that stalled."""
        return self.ended + self.stalled

    @property
    def survival(self) -> float | None:
        """How many of the answers were completed whose client went away."""
        return self.survived / self.departed if self.departed else None

    @property
    def operations_per_answer(self) -> float | None:
        """Commands that the database got, on average."""
        return sum(self.operations) / len(self.operations) if self.operations else None

    @property
    def bad(self) -> int:
        """Runs that failed or stalled."""
        return self.failed + self.stalled


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided confidence interval."""

    low: float
    high: float


def figures_of(path: str, results: Iterable[RunResult], *, stalled_after: float) -> PathFigures:
    """Count the results of one path."""
    mine = [result for result in results if result.path == path]
    ended = [result for result in mine if result.status in ("complete", "error", "cancelled")]
    failed = [result for result in ended if result.status == "error"]
    errors: dict[str, int] = {}
    for result in failed:
        errors[result.error_code] = errors.get(result.error_code, 0) + 1
    stalled = (
        [
            result
            for result in mine
            if result not in ended and result.first_text_ms is None and result.age > stalled_after
        ]
        if len(ended) < len(mine)
        else []
    )
    return PathFigures(
        path=path,
        runs=len(mine),
        ended=len(ended),
        completed=sum(result.status == "complete" for result in ended),
        cancelled=sum(result.status == "cancelled" for result in ended),
        failed=len(failed),
        stalled=len(stalled),
        orphans=errors.get("orphaned", 0) + sum(result.overdue for result in mine),
        departed=sum(result.departed for result in ended),
        survived=sum(result.departed and result.status == "complete" for result in ended),
        attempts=sum(result.attempts for result in ended),
        cost_microusd=sum(result.cost_microusd or 0 for result in ended),
        output_tokens=sum(result.output_tokens for result in ended),
        operations=tuple(sorted(r.operations for r in ended if r.operations is not None)),
        errors=dict(sorted(errors.items())),
        first_text_ms=tuple(sorted(r.first_text_ms for r in mine if r.first_text_ms is not None)),
        duration_ms=tuple(sorted(r.duration_ms for r in ended if r.duration_ms is not None)),
    )


def both(results: Sequence[RunResult], *, stalled_after: float) -> dict[str, PathFigures]:
    """Both paths, by name."""
    return {path: figures_of(path, results, stalled_after=stalled_after) for path in PATHS}


def wilson(successes: int, runs: int, *, confidence: float = CONFIDENCE) -> Interval:
    """The score interval of a proportion; 0 to 1 where there were no runs."""
    if runs == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    rate = successes / runs
    centre = rate + z * z / (2 * runs)
    spread = z * sqrt(rate * (1 - rate) / runs + z * z / (4 * runs * runs))
    width = 1 + z * z / runs
    return Interval(max(0.0, (centre - spread) / width), min(1.0, (centre + spread) / width))


def difference(ours: tuple[int, int], theirs: tuple[int, int], *, confidence: float = CONFIDENCE) -> Interval:
    """The interval of `ours` minus `theirs`, each (successes, runs)."""
    if not ours[1] or not theirs[1]:
        return Interval(-1.0, 1.0)
    a, b = ours[0] / ours[1], theirs[0] / theirs[1]
    of_a, of_b = wilson(*ours, confidence=confidence), wilson(*theirs, confidence=confidence)
    low = a - b - sqrt((a - of_a.low) ** 2 + (of_b.high - b) ** 2)
    high = a - b + sqrt((of_a.high - a) ** 2 + (b - of_b.low) ** 2)
    return Interval(max(-1.0, low), min(1.0, high))


def quantile(ordered: Sequence[int], share: float) -> int | None:
    """The value that `share` of the sorted values do not exceed (nearest rank); None where there are none."""
    return ordered[min(len(ordered) - 1, max(0, ceil(share * len(ordered)) - 1))] if ordered else None


def quantile_interval(ordered: Sequence[int], share: float, *, confidence: float = CONFIDENCE) -> Interval | None:
    """The interval of a quantile by order statistics; None where there are too few values for one that is not endless."""
    count = len(ordered)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * sqrt(count * share * (1 - share))
    low, high = floor(count * share - spread), ceil(count * share + spread)
    if low < 1 or high > count:
        return None
    return Interval(float(ordered[low - 1]), float(ordered[high - 1]))


def over_time(results: Sequence[RunResult], path: str, *, window: float, pieces: int) -> list[PathFigures]:
    """The figures of one path in equal pieces of the window, oldest first."""
    piece = window / pieces
    return [
        figures_of(
            path,
            (result for result in results if number * piece <= result.age < (number + 1) * piece),
            stalled_after=float("inf"),
        )
        for number in reversed(range(pieces))
    ]
