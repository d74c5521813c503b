"""What `up` says while it starts and runs: lines, with a spinner above them on a terminal."""

import contextlib
import sys
import time
from collections.abc import Sequence
from datetime import datetime

from rich.console import Console
from rich.status import Status
from rich.text import Text

from everthread.hints import hint
from everthread.home import Home
from everthread.plan import Plan
from everthread.supervisor import Part


class Progress:
    """Never raises: whoever read the output may be gone while the mesh runs on."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._console = Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None
        self._begun = time.monotonic()
        self._is_up = False
        self._stopping = False

    def begin(self, home: Home, uses: dict[str, str], notes: Sequence[str]) -> None:
        """Say where the data is and what is used."""
        self._say(f"home {home.root}")
        for part, what in uses.items():
            self._say(f"{part:<9} {what}", dim=True)
        for note in notes:
            self._say(note)
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
            self._refresh()

    def changed(self, part: Part) -> None:
        """A part's status is another one."""
        match part.status:
            case "ready" if self._is_up:
                self._say(f"{_clock()} {part.name} is ready again on port {part.port}")
            case "ready":
                self._say(f"{part.name:<15} ready after {time.monotonic() - self._begun:.1f} s", dim=True)
            case "restarting":
                self._say(f"{_clock()} {part.name} ended ({part.reason}); it is started again")
            case "failed" if self._is_up:
                self._say(
                    f"{_clock()} {part.name} IS GIVEN UP: {part.reason}. The other parts run on; stop and start "
                    "`everthread up` when the cause is removed."
                )
        self._refresh()

    def ready(self, plan: Plan, home: Home) -> None:
        """Everything runs: say where and how to talk to it."""
        self._is_up = True
        self.end_spinner()
        self._line(f"ready {plan.urls[0]}")
        for sentence in how_to_talk(plan, home):
            self._line(sentence)

    def page(self, sentence: str) -> None:
        """How the build of the page goes."""
        self._say(sentence, dim=not self._is_up)

    def stopping(self) -> None:
        """The children are being stopped."""
        self._stopping = True
        self.end_spinner()
        self._say("stopping; a second Ctrl-C kills what is left. Unfinished answers go on at the next start.")

    def stopped(self) -> None:
        """All children are gone."""
        self._say("stopped")

    def end_spinner(self) -> None:
        """Leave the terminal as it was."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _refresh(self) -> None:
        if self._status is not None:
            waiting = [part.name for part in self._parts if not part.was_ready.is_set()]
            self._status.update(Text(f"waiting for {', '.join(waiting)}" if waiting else "ready"))

    def _say(self, text: str, *, dim: bool = False) -> None:
        with contextlib.suppress(OSError):
            self._console.print(Text(text, style="dim" if dim else ""))

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError):
            print(text, flush=True)


def how_to_talk(plan: Plan, home: Home) -> list[str]:
    """The lines below `ready`: commands that can be pasted as they are."""
    token = hint(home, "token --user demo")
    bearer = "$TOKEN" if plan.issuer != "development" else f"$({token})"
    return [
        "",
        f"  token    {token if plan.issuer == 'development' else plan.uses['identity']}",
        f'  curl     curl -H "authorization: Bearer {bearer}" {plan.urls[0]}/v1/models',
        f"  chat     {hint(home, 'chat')}   (Ctrl-C leaves the answer running; --resume picks it up)",
        f"  data     {home.root} (logs in {home.logs})",
        *([f"  gateways {' '.join(plan.urls)}"] if len(plan.urls) > 1 else []),
        f"  next     {hint(home, 'ps')}",
        f"           {hint(home, 'doctor')}",
        f"           {hint(home, 'chat --resume')}",
        "  Ctrl-C stops everything; the data stays.",
        "",
    ]


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def complain(sentence: str) -> None:
    """One sentence on stderr."""
    with contextlib.suppress(OSError):
        print(f"everthread: {sentence}", file=sys.stderr, flush=True)
