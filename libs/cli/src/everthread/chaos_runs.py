"""One conversation under `everthread demo chaos`: sent, watched to its end, and compared with what is stored."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from contracts import events as e
from contracts.run_state import GapError, RunState
from everthread_client import EverthreadClient, EverthreadError, UnreachableError

COMPARE_SECONDS: Final = 30.0
"""An answer is shown from the log a moment before it is stored."""


@dataclass(kw_only=True)
class Watched:
    """What was seen of one answer. `gaps` and `doubles` count events that were missing or came twice on the screen; `same` is
    whether the stored message, the log and what was shown are equal, None until that is known."""

    number: int
    run_id: str = ""
    state: str = "to come"
    attempt: int = 0
    tokens: int = 0
    events: int = 0
    gaps: int = 0
    doubles: int = 0
    ends: int = 0
    same: bool | None = None
    problem: str = ""
    seen: RunState | None = field(default=None, repr=False)

    @property
    def sound(self) -> bool:
        """It ended once, whole, and is stored as it was shown."""
        return self.state == "complete" and self.ends == 1 and not self.gaps and not self.doubles and self.same is True

    def apply(self, event: e.RunEvent) -> None:
        """Count the next event that reached the screen."""
        self.events += 1
        self.attempt = max(self.attempt, event.attempt)
        self.ends += isinstance(event, e.Terminal)
        if isinstance(event, e.UsageReported):
            self.tokens += event.usage.output_tokens
        if self.seen is None:
            self.seen = RunState(run_id=event.run_id, thread_id=event.thread_id)
        try:
            self.seen.apply(event)
        except GapError:
            missing = event.sequence - self.seen.sequence - 1
            self.gaps += max(missing, 0)
            self.doubles += missing < 0
            self.seen.sequence = max(self.seen.sequence, event.sequence)
        self.state = self.seen.status


async def watch_one(client: EverthreadClient, watched: Watched, *, text: str, model: str | None) -> None:
    """Send the message, watch its answer to the end, compare. What fails is kept in `problem`."""
    try:
        watched.state = "sending"
        thread_id = await _thread(client)
        accepted = await client.send(thread_id, text, model=model)
        watched.run_id, watched.state = accepted.run_id, "accepted"
        async with aclosing(client.follow(accepted.run_id)) as events:
            async for event in events:
                watched.apply(event)
        watched.same = await _same(client, watched, thread_id)
    except EverthreadError as error:
        watched.problem = str(error)


async def _thread(client: EverthreadClient) -> str:
    while True:
        try:
            return (await client.create_thread(title="chaos")).id
        except UnreachableError:
            # It may exist, empty, where the gateway died before it could say so; that harms nobody.
            await asyncio.sleep(0.5)


async def _same(client: EverthreadClient, watched: Watched, thread_id: str) -> bool | None:
    seen = watched.seen
    if seen is None:
        return None
    deadline = time.monotonic() + COMPARE_SECONDS
    while (found := await client.verify(watched.run_id))["equal"] is None:
        if time.monotonic() > deadline:
            watched.problem = f"not stored within {COMPARE_SECONDS:g} s: {found['reason']}"
            return None
        await asyncio.sleep(0.2)
    stored = next((one for one in await client.threads.messages(thread_id) if one.id == seen.message_id), None)
    return bool(found["equal"]) and stored is not None and stored.content == seen.content
