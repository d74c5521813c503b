"""`task bench:doors`: what each door costs per token over the native stream, in CPU, without network and broker.

One answer of many one-token events goes through what a gateway does per event of a watched run. Native is the frame around the
log's bytes. A client protocol decodes and folds the event, once for all of them, maps it, and encodes its frames, once for all
its viewers. WebSocket messages are made per connection. The medians go into docs/benchmarks.md.
"""

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from contracts import events as e
from contracts.run_state import RunState
from contracts.usage import Usage
from gateway.domain.frames import run_event_frame
from gateway.domain.protocols.agui import AguiMapping
from gateway.domain.protocols.ai_sdk import AiSdkMapping
from gateway.domain.protocols.durable_stream import DurableStreamMapping
from gateway.domain.protocols.frame import Mapping, sse
from gateway.domain.protocols.openai_chat import ChatMapping
from gateway.domain.protocols.openai_response_object import About
from gateway.domain.protocols.openai_responses import ResponsesMapping
from gateway.domain.socket_frames import events as socket_messages

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- door figures: written by task bench:doors -->", "<!-- end of door figures -->"
GOAL = 10.0
THREAD, RUN, MESSAGE = ("thr_" + "0" * 26, "run_" + "0" * 26, "msg_" + "0" * 26)
AT = "2026-11-21T03:17:47.123Z"
ABOUT = About(run_id=RUN, model="openai:gpt-4o-mini", created_at=AT)

MAPPINGS: dict[str, Callable[[], Mapping]] = {
    "AI SDK": AiSdkMapping,
    "chat.completions": lambda: ChatMapping(include_usage=True),
    "responses": lambda: ResponsesMapping(ABOUT),
    "AG-UI": lambda: AguiMapping(thread_id="t", run_id="r", history=[]),
    "durable-streams": DurableStreamMapping,
}


def answer_log(tokens: int) -> list[bytes]:
    """An answer of so many tokens as the log has it, one token per event."""
    made: list[bytes] = []

    def add(kind: Callable[..., e.RunEvent], /, **fields: object) -> None:
        made.append(
            e.encode_event(kind(thread_id=THREAD, run_id=RUN, sequence=len(made) + 1, attempt=1, at=AT, **fields))
        )

    add(e.RunStarted, message_id=MESSAGE, model="openai:gpt-4o-mini", path="durable_event")
    add(e.AttemptStarted, worker="inference-1")
    add(e.StepStarted, step=1, kind="model", name="openai:gpt-4o-mini")
    for number in range(tokens):
        add(e.TextDelta, part=0, delta=f" token{number % 100}")
    add(e.StepFinished, step=1, finish_reason="stop")
    add(e.RunCompleted, message_id=MESSAGE, usage=Usage(output_tokens=tokens), cost_microusd=1)
    return made


def seconds(work: Callable[[], object]) -> float:
    """CPU that a piece of work takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def native(log: list[bytes]) -> list[bytes]:
    """The frames of the native stream."""
    return [run_event_frame(number, data)[2] for number, data in enumerate(log, 1)]


def fold(log: list[bytes]) -> list[e.RunEvent]:
    """Decoded and folded, as once per watched run."""
    state = RunState(run_id=RUN, thread_id=THREAD)
    events = []
    for data in log:
        event = e.decode_event(data)
        state.apply(event)
        events.append(event)
    return events


def mapped(make: Callable[[], Mapping], events: list[e.RunEvent]) -> list[bytes]:
    """Mapped and encoded, as once per run and protocol."""
    mapping = make()
    return [sse(frame) for frame in mapping.opening()] + [
        sse(frame) for event in events for frame in mapping.feed(event)
    ]


def measure(tokens: int, rounds: int) -> dict[str, float]:
    """µs per token by what is done; the arms are interleaved, the median of the rounds counts."""
    log = answer_log(tokens)
    events, frames = fold(log), native(log)
    # One message per piece, as where tokens come one by one.
    arms: dict[str, Callable[[], object]] = {
        "native": lambda: native(log),
        "fold": lambda: fold(log),
        "WebSocket": lambda: [socket_messages("one", frame) for frame in frames],
    }
    for name, make in MAPPINGS.items():
        arms[name] = lambda make=make: mapped(make, events)  # type: ignore[misc]  # bound now, not at the end of the loop
    taken: dict[str, list[float]] = {name: [] for name in arms}
    gc.disable()
    for number in range(rounds + 1):
        for name, work in arms.items():
            gc.collect()
            spent = seconds(work)
            if number:
                # The first round warms up.
                taken[name].append(spent / tokens * 1e6)
    gc.enable()
    return {name: statistics.median(values) for name, values in taken.items()}


def over_native(figures: dict[str, float]) -> dict[str, float]:
    """µs per token of each door over the native stream, with the fold counted to each as if it were alone."""
    shared = figures["fold"] - figures["native"]
    return {name: shared + figures[name] for name in MAPPINGS} | {"WebSocket": figures["WebSocket"]}


def text_of(figures: dict[str, float], tokens: int, rounds: int) -> str:
    """The section for docs/benchmarks.md."""
    over = over_native(figures)
    rows = "\n".join(f"| {name} | {figures[name]:.1f} | **{over[name]:.1f}** | ≤ {GOAL:.0f} |" for name in over)
    return (
        f"Machine: {platform.system()}, Python {platform.python_version()}. Command: `uv run task bench:doors -- --tokens {tokens}"
        f" --rounds {rounds}`.\n\nNative frame {figures['native']:.1f} µs per token; decoding and folding {figures['fold']:.1f} µs,"
        " once per watched run whatever the number of protocols.\n\n"
        f"| door | its own work, µs per token | over native, µs per token | goal |\n|---|---|---|---|\n{rows}"
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    text = text_of(measure(arguments.tokens, arguments.rounds), arguments.tokens, arguments.rounds)
    print(text)
    if not arguments.no_write:
        page = PAGE.read_text("utf-8")
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}", "utf-8")


if __name__ == "__main__":
    main()
