"""The first table as a picture: latency a token on a logarithmic scale, and CPU a token, a bar for each arm."""

import math
from collections.abc import Sequence
from typing import Final

from tests.load.peers.throughput import Measured, milliseconds

LEFT, BAR, GAP, WIDTH, ROW = 190, 250, 110, 860, 46
LEAST_MS: Final = 0.1
COLOURS: Final = {"p50": "#2563eb", "p99": "#93c5fd", "cpu": "#059669"}


def _plain(name: str) -> str:
    return name.replace("*", "").replace("`", "")


def _bar(x: float, y: float, width: float, colour: str, label: str) -> list[str]:
    return [
        f'<rect x="{x}" y="{y}" width="{max(width, 1):.1f}" height="14" fill="{colour}"/>',
        f'<text x="{x + max(width, 1) + 5:.1f}" y="{y + 11}" fill="#374151">{label}</text>',
    ]


def picture(arms: Sequence[Measured], *, count: int, rate: int) -> str:
    """The arms as SVG."""
    decades = math.log10(max(max(found.p(0.99) for found in arms), 10) / LEAST_MS)
    most = max(max(found.a_token(found.own) for found in arms), 1)
    right, height = LEFT + BAR + GAP, 78 + ROW * len(arms)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold" fill="#111827">{count} streams × {rate} tokens/s, on one '
        "machine with the provider and the viewers</text>",
    ]
    for x, colour, title in (
        (LEFT, COLOURS["p50"], "latency p50"),
        (LEFT + 85, COLOURS["p99"], "p99, ms, logarithmic"),
        (right, COLOURS["cpu"], "CPU µs a token, starts and ends included"),
    ):
        lines.append(f'<rect x="{x}" y="40" width="9" height="9" fill="{colour}"/>')
        lines.append(f'<text x="{x + 13}" y="49" fill="#374151">{title}</text>')
    for number, found in enumerate(arms):
        y = 66 + number * ROW
        lines.append(f'<text x="12" y="{y + 14}" font-weight="bold" fill="#111827">{_plain(found.name)}</text>')
        keeps = "" if found.stores == "–" else f"keeps: {found.stores}"
        lines.append(f'<text x="12" y="{y + 28}" font-size="10" fill="#6b7280">{keeps}</text>')
        for offset, name, q in ((0, "p50", 0.5), (16, "p99", 0.99)):
            late = found.p(q)
            width = BAR * math.log10(max(late, LEAST_MS) / LEAST_MS) / decades
            lines += _bar(LEFT, y + offset, width, COLOURS[name], milliseconds(late))
        if found.own:
            own = found.a_token(found.own)
            lines += _bar(right, y + 8, BAR * own / most, COLOURS["cpu"], f"{own:,.0f}")
    return "\n".join([*lines, "</svg>\n"])
