"""Reading what a process shows at /metrics: OpenMetrics text into samples."""

import asyncio
import urllib.request
from dataclasses import dataclass
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of an exposition. `exemplar` is the trace id that came with it, empty without one."""

    name: str
    labels: dict[str, str]
    value: float
    exemplar: str


def parse(text: str) -> list[Sample]:
    """All samples. Raises ValueError where the text is no OpenMetrics."""
    return [
        Sample(found.name, dict(found.labels), found.value, _trace_of(found.exemplar))
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]  # it has no types
        for found in family.samples
    ]


def _trace_of(exemplar: Any) -> str:
    return "" if exemplar is None else str(exemplar.labels.get("trace_id", ""))


async def scrape(port: int) -> list[Sample]:
    """What the process with this health port shows now."""

    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            body: bytes = response.read()
            return body.decode()

    return parse(await asyncio.to_thread(get))
