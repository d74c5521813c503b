"""A row of `task bench:limits`, and how values are written in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from tests.load.bench import quantile

console = Console()


@dataclass(frozen=True)
class Row:
    """What was measured, the figure, the goal (PERFORMANCE's, or a dash)."""

    what: str
    figure: str
    goal: str


def spread(values: Sequence[float], unit: str = "ms") -> str:
    """Median, 99th percentile, how many."""
    return f"p50 {quantile(values, 0.5):,.1f}, p99 {quantile(values, 0.99):,.1f} {unit} (n = {len(values):,})"
