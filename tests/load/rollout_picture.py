"""The rollout's dashboard as a picture: the figures that the processes showed at /metrics while the demo ran.

The panels are those of deploy/grafana/dashboards.yaml that tell the story, computed as their queries are: rates over a window.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final

from runtime.names import Metric

from tests.exposition import scrape

EVERY: Final = 1.0
WINDOW: Final = 6.0
WIDTH, HEIGHT, COLUMNS = 300, 150, 3
COLOURS: Final = ("#2563eb", "#d97706", "#dc2626", "#059669", "#7c3aed", "#475569")

Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass
class Scrapes:
    """What was shown when: by seconds since the start, every time series summed over the processes."""

    began: float = field(default_factory=time.monotonic)
    at: list[float] = field(default_factory=list)
    found: list[dict[Key, float]] = field(default_factory=list)
    shares: list[dict[str, float]] = field(default_factory=list)

    async def keep_scraping(self, ports: Mapping[str, int], stop: asyncio.Event) -> None:
        """Every second until told to stop."""
        while not stop.is_set():
            parts = await asyncio.gather(*(scrape(port) for port in ports.values()), return_exceptions=True)
            sums: dict[Key, float] = {}
            shares: dict[str, float] = {}
            for name, samples in zip(ports, parts, strict=True):
                for sample in samples if isinstance(samples, list) else []:
                    key = sample.name, tuple(sorted(sample.labels.items()))
                    sums[key] = sums.get(key, 0.0) + sample.value
                    if sample.name == Metric.ROLLOUT_SHARE.value.name:
                        shares[name] = sample.value
            self.at.append(time.monotonic() - self.began)
            self.found.append(sums)
            self.shares.append(shares)
            await asyncio.sleep(EVERY)

    def total(self, index: int, metric: Metric, **labels: str) -> float:
        """The sum of a counter's series with these labels."""
        name = metric.value.name
        return sum(
            value
            for (found, with_labels), value in self.found[index].items()
            if found == name and labels.items() <= dict(with_labels).items()
        )

    def rate(self, index: int, metric: Metric, **labels: str) -> float:
        """Per second, over the window before."""
        before = next(i for i, at in enumerate(self.at) if at >= self.at[index] - WINDOW)
        seconds = self.at[index] - self.at[before]
        grown = self.total(index, metric, **labels) - self.total(before, metric, **labels)
        return grown / seconds if seconds else 0.0


Series = dict[str, list[float | None]]


def panels(scrapes: Scrapes) -> dict[str, Series]:
    """The dashboard's panels, each with its lines."""
    moments = range(len(scrapes.at))

    def over_time(value: Callable[[int], float | None]) -> list[float | None]:
        return [value(index) for index in moments]

    def rates(metric: Metric, label: str, values: Sequence[str], **labels: str) -> Series:
        return {
            value: over_time(lambda index, value=value: scrapes.rate(index, metric, **labels, **{label: value}))  # type: ignore[misc]  # mypy does not infer a lambda with a default
            for value in values
        }

    def ratio(top: Callable[[int], float], bottom: Callable[[int], float]) -> list[float | None]:
        return over_time(lambda index: top(index) / bottom(index) if bottom(index) else None)

    paths = ("durable_event", "legacy_sync")

    def failed(path: str) -> list[float | None]:
        return ratio(
            lambda index: 100 * scrapes.rate(index, Metric.RUNS_ENDED, path=path, status="error"),
            lambda index: scrapes.rate(index, Metric.RUNS_ENDED, path=path),
        )

    def operations(path: str) -> list[float | None]:
        return ratio(
            lambda index: scrapes.rate(index, Metric.DATABASE_OPERATIONS, path=path),
            lambda index: scrapes.rate(index, Metric.ACCEPTED, path=path),
        )

    return {
        "Messages by path, per second": rates(Metric.ACCEPTED, "path", paths),
        "Share by the flag, percent": {
            name: [shares.get(name) for shares in scrapes.shares] for name in sorted(scrapes.shares[-1])
        },
        "Changes of the rollout": {
            change: over_time(
                lambda index, change=change: scrapes.total(index, Metric.ROLLOUT_CHANGES, change=change)  # type: ignore[misc]  # as above
            )
            for change in ("advanced", "rolled_back")
        },
        "Errors, percent of the answers that ended": {path: failed(path) for path in paths},
        "Ended by status · durable_event, per second": rates(
            Metric.RUNS_ENDED, "status", ("complete", "error", "cancelled"), path="durable_event"
        ),
        "Ended by status · legacy_sync, per second": rates(
            Metric.RUNS_ENDED, "status", ("complete", "error", "cancelled"), path="legacy_sync"
        ),
        "Database operations per answer": {path: operations(path) for path in paths},
        "Clients that went away, per second": rates(Metric.DEPARTURES, "path", paths),
        "Shadow runs, per second": rates(Metric.SHADOWS, "status", ("complete", "error")),
    }


def picture(scrapes: Scrapes) -> str:
    """The panels as SVG."""
    found = panels(scrapes)
    rows = -(-len(found) // COLUMNS)
    drawn = [
        _panel(title, series, scrapes.at, 10 + index % COLUMNS * (WIDTH + 20), 40 + index // COLUMNS * (HEIGHT + 50))
        for index, (title, series) in enumerate(found.items())
    ]
    width, height = COLUMNS * (WIDTH + 20), 40 + rows * (HEIGHT + 50)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="10">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        '<text x="10" y="22" font-size="15" font-weight="bold" fill="#111827">Everthread: rollout, both paths side by side</text>\n'
        + "\n".join(drawn)
        + "\n</svg>\n"
    )


def _panel(title: str, series: Series, at: Sequence[float], x: float, y: float) -> str:
    known = [value for values in series.values() for value in values if value is not None]
    top = max([*known, 1e-9])
    longest = max(at[-1], 1e-9)
    inner, low = WIDTH - 40, HEIGHT - 36
    lines = [
        f'<g transform="translate({x},{y})">',
        f'<rect width="{WIDTH}" height="{HEIGHT + 34}" fill="#f9fafb" stroke="#e5e7eb"/>',
        f'<text x="8" y="15" font-size="11" font-weight="bold" fill="#111827">{escape(title)}</text>',
        f'<line x1="34" y1="{24 + low}" x2="{34 + inner}" y2="{24 + low}" stroke="#9ca3af"/>',
        f'<text x="30" y="32" text-anchor="end" fill="#6b7280">{top:.3g}</text>',
        f'<text x="30" y="{24 + low}" text-anchor="end" fill="#6b7280">0</text>',
        f'<text x="{34 + inner}" y="{36 + low}" text-anchor="end" fill="#6b7280">{longest:.0f} s</text>',
    ]
    for number, (name, values) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [
            f"{34 + inner * moment / longest:.1f},{24 + low - low * value / top:.1f}"
            for moment, value in zip(at, values, strict=True)
            if value is not None
        ]
        # Apart by dashes as well as by colour, so that lines on one another are both seen.
        dash = ' stroke-dasharray="4 3"' if number % 2 else ""
        lines.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
        place = 8 + number * (WIDTH - 16) / max(len(series), 2)
        lines.append(f'<rect x="{place}" y="{HEIGHT + 16}" width="8" height="8" fill="{colour}"/>')
        lines.append(f'<text x="{place + 11}" y="{HEIGHT + 24}" fill="#374151">{escape(name)}</text>')
    return "\n".join([*lines, "</g>"])
