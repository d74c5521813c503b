"""The figures as the tables of docs/benchmarks.md."""

from collections.abc import Sequence

from tests.load.peers.questions import QUESTIONS, Answers
from tests.load.peers.throughput import Measured, milliseconds

SATURATED = 100.0
"""Milliseconds a token in the middle, above which an arm does not keep up: what it does meanwhile is no steady state."""


def throughput_table(arms: Sequence[Measured], *, count: int, rate: int) -> list[str]:
    """Latency, losses and CPU of each arm, as Markdown."""
    lines = [
        f"| {count} streams × {rate} tokens/s | keeps the answer | latency p50 · p99 | lost · doubled | CPU µs a token, all "
        "running | with starts and ends | upstream | generator |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for found in arms:
        steady = f"{found.steady():.0f}" if found.p(0.5) < SATURATED else "saturated"
        own = [steady, f"{found.a_token(found.own):.0f}"] if found.own else ["–", "–"]
        cells = [
            found.name,
            found.stores,
            f"{milliseconds(found.p(0.5))} · {milliseconds(found.p(0.99))} ms",
            f"{found.arm.lost} · {found.arm.doubled} of {found.arm.tokens + found.arm.lost - found.arm.doubled}",
            *own,
            f"{found.a_token(found.upstream):.0f}",
            f"{found.a_token(found.generator):.0f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def answers_table(everthread: Answers, resumable: Answers) -> list[str]:
    """What came of each experiment, as Markdown."""
    lines = ["| what happens | Everthread | `resumable-stream` |", "|---|---|---|"]
    return lines + [f"| {what} | {everthread[name]} | {resumable[name]} |" for name, what in QUESTIONS.items()]
