"""Replay a run: the recorded events at their own pace, or faster, without the model."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Final

from contracts.codes import Code
from contracts.events import decode_event
from contracts.subjects import run_subject
from contracts.times import parse_rfc3339

from gateway.domain.frames import event_frame
from gateway.domain.problems import Refusal
from gateway.domain.stored_log import stored_events
from gateway.handlers.watch import Attachment
from gateway.ports import Conversation, LogReader

FASTEST: Final = 1000.0
SLOWEST: Final = 0.1
LONGEST_PAUSE: Final = 3.0
"""Seconds: nobody waits for the hours that a run waited for a person."""


def check_speed(text: str) -> float:
    """How many times faster than it was; 0 is without any pause. Raises Refusal."""
    try:
        speed = float(text or "1")
    except ValueError:
        speed = -1.0
    if speed != 0 and not SLOWEST <= speed <= FASTEST:
        raise Refusal(Code.QUERY_INVALID, f"speed is a number from {SLOWEST} to {FASTEST:.0f}, or 0 for no pauses.")
    return speed


async def replay_run(
    conversation: Conversation, log: LogReader, user_id: str, run_id: str, *, speed: float
) -> Attachment:
    """Everything that is stored of the run now, its pauses divided by `speed` and cut to LONGEST_PAUSE. Of a run whose log has
    expired, the stored answer. Raises Refusal, UnavailableError."""
    run, message = await conversation.get_run(user_id, run_id)
    frames: deque[tuple[float, bytes]] = deque()
    before: datetime | None = None
    begun = False
    async for entry in log.read(run_subject(run.thread_id, run.id, "event")):
        event = decode_event(entry.data)
        begun = begun or event.sequence == 1
        at = parse_rfc3339(event.at)
        pause = 0.0 if before is None or not speed else max(0.0, (at - before).total_seconds()) / speed
        frames.append((min(pause, LONGEST_PAUSE), event_frame(None, event)))
        before = at
    if not begun and message is not None:
        frames = deque((0.0, event_frame(None, event)) for event in stored_events(run, message))
    if not frames:
        return Attachment(b"", None)
    return Attachment(b"", ReplayViewer(frames, asyncio.get_running_loop().time), run.thread_id)


class ReplayViewer:
    """ports.Viewer over frames with the pause before each. It has no cursor: whoever comes back begins again."""

    def __init__(self, frames: deque[tuple[float, bytes]], clock: Callable[[], float]) -> None:
        self._frames = frames
        self._clock = clock
        self._due = clock()
        self._woken = asyncio.Event()

    @property
    def cursor(self) -> str:
        return ""

    @property
    def ended(self) -> bool:
        return not self._frames

    async def take(self) -> bytes:
        """What is due by now; waits for it."""
        if self._frames:
            wait = self._due + self._frames[0][0] - self._clock()
            if wait > 0:
                self._woken.clear()
                try:
                    await asyncio.wait_for(self._woken.wait(), wait)
                except TimeoutError:
                    pass
                else:
                    return b""
        piece: list[bytes] = []
        now = self._clock()
        while self._frames and self._due + self._frames[0][0] <= now:
            pause, frame = self._frames.popleft()
            self._due += pause
            piece.append(frame)
        return b"".join(piece)

    def wake(self) -> None:
        self._woken.set()

    async def close(self) -> None:
        self._frames.clear()
