"""What is tried with each system that promises to resume, and what the experiments have in common."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import httpx2

from tests.load.bench import quantile
from tests.load.generator import Stream, read_stream
from tests.upstream import UpstreamProcess, expected_text

Answers = dict[str, str]
"""What came of each question, as text for a cell; the keys are those of QUESTIONS."""

QUESTIONS: Final = {
    "killed": "the process that generates is killed with `kill -9` a third of the way",
    "killed_text": "… and the text in the end",
    "killed_silence": "… and the silence before it goes on",
    "elsewhere": "the viewer is cut off and back 0.2 s later, at another process, with its cursor",
    "paced": "10,000 tokens of an answer that goes on, sent at 1,000/s, again from the start at another process after "
    "`kill -9` of the one that showed them",
    "at_once": "the same, sent as fast as the provider goes",
    "ended": "the answer has ended, and is asked for again from the start at another process",
    "closed": "the viewer leaves: the provider's call",
    "stop": "stop, asked of another process: the provider sees the caller leave",
    "broken": "the provider's stream breaks off a third of the way",
    "bare": "the same, its error handed on as it comes",
}
THIRD: Final = 80
ANSWER: Final = 3 * THIRD
LONG: Final = 10_000
AWAY: Final = 0.2
TIMES: Final = 7
GIVEN_UP: Final = 10.0
"""Seconds after which an answer that says nothing counts as one that does not go on."""


def goes_on(rate: str) -> str:
    """A script of LONG stamped tokens and a bit, which then neither ends nor says more."""
    return f"tokens={LONG + 2} {rate} stall_after={LONG + 1} stamp"


NEVER: Final = (b"\x00",)
"""No stream has it: a viewer that stays until it is cut off."""
LONG_SEEN: Final = (b"%d:" % LONG,)
"""The beginning of the token after LONG: all before it are whole."""


def compare(text: str, content: str) -> str:
    """Tokens lost and doubled in `text`, against all that the script `content` says."""
    wanted, found = Counter(expected_text(content).split()), Counter(text.split())
    lost, doubled = (wanted - found).total(), (found - wanted).total()
    if text == expected_text(content):
        return f"whole: {wanted.total()} of {wanted.total()} tokens, 0 lost, 0 doubled"
    return f"{found.total()} of {wanted.total()} tokens: {lost} lost, {doubled} doubled"


async def attempt(trying: Awaitable[str | Answers], *names: str) -> Answers:
    """What came of the questions `names`; an experiment that goes wrong is told in its cell and does not end the others."""
    try:
        found = await trying
    except (AssertionError, TimeoutError, OSError, httpx2.HTTPError) as error:
        return dict.fromkeys(names, f"**failed**: {type(error).__name__} {error}".splitlines()[0])
    return {names[0]: found} if isinstance(found, str) else found


def middle(values: Sequence[float]) -> str:
    """The median and the worst of some milliseconds."""
    return f"p50 {quantile(values, 0.5):.0f} ms, worst {max(values):.0f} ms (n = {len(values)})"


async def left_after(upstream: UpstreamProcess, content: str, since: float, within: float) -> float | None:
    """Milliseconds from `since` (seconds since the epoch) until the caller of the call with `content` left; None if it stayed."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        for call in await asyncio.to_thread(upstream.calls):
            if call["content"] == content and call["disconnected_at"] is not None:
                return float((call["disconnected_at"] - since) * 1000)
        await asyncio.sleep(0.05)
    return None


async def forget_calls(upstream: UpstreamProcess) -> None:
    """So that the list of calls stays short."""
    async with httpx2.AsyncClient() as client:
        await client.delete(upstream.calls_url)


async def until_seen(streams: Sequence[Stream], index: int, within: float = 120) -> None:
    """Until each of the streams has the token with this index."""
    async with asyncio.timeout(within):
        while not all(stream.indexes and stream.indexes[-1] >= index for stream in streams):
            await asyncio.sleep(0.05)


async def again_from_the_start(url: str, headers: dict[str, str] | None = None) -> tuple[float, float]:
    """Milliseconds to the first and to the last of LONG tokens, connection included. Raises AssertionError if one is not there."""
    asked = time.monotonic_ns()
    stream = Stream(asked_at=asked)
    await read_stream(url, stream, end_marks=LONG_SEEN, headers=headers)
    assert stream.indexes[:LONG] == list(range(LONG)), "a resumed stream has lost or doubled tokens"
    return (stream.first_token_at - asked) / 1e6, (stream.arrivals[LONG - 1][0] - asked) / 1e6


def long_answer(found: Sequence[tuple[float, float]]) -> str:
    """The cell for LONG tokens seen again."""
    first, whole = ([pair[part] for pair in found] for part in (0, 1))
    return f"whole; first token {middle(first)}; all {LONG:,}: {middle(whole)}"


def question(content: str) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"model": "scripted", "stream": True, "messages": [{"role": "user", "content": content}]}
