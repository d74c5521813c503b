"""What a process shows at /metrics, read without a library: sample lines of OpenMetrics text."""

import re
from collections.abc import Iterator
from typing import Final

_SAMPLE: Final = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*?)\})? (?P<value>\S+)(?: |$)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels and value of each; what is no sample is left out."""
    for line in text.splitlines():
        found = None if line.startswith("#") else _SAMPLE.match(line)
        if found is not None:
            try:
                value = float(found["value"])
            except ValueError:
                continue
            yield found["name"], dict(_LABEL.findall(found["labels"] or "")), value
