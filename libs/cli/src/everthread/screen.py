"""What a run looks like in a terminal: the text on stdout, everything about it on stderr."""

import json
import os
from decimal import Decimal
from io import TextIOWrapper
from typing import Any, Final, TextIO

from contracts import events as e
from contracts.usage import Usage

LONGEST: Final = 160
"""Characters that are shown of a tool's input or output."""


class Screen:
    """One answer after the other. On no terminal, stdout carries the text of the answer and nothing else."""

    def __init__(self, out: TextIO, notes: TextIO, *, come_back: str, stop: str) -> None:
        self._out = out
        self._notes = notes
        self._come_back = come_back
        self._stop = stop
        self._fancy = notes.isatty()
        self._colour = self._fancy and not os.environ.get("NO_COLOR")
        self._status_shown = False
        self._line_open = False
        self._agent: str | None = None

    def waiting(self, what: str) -> None:
        """A status line that the first word replaces; only on a terminal."""
        if self._fancy:
            self._notes.write(f"\r\x1b[K{self._dim(what + ' …')}")
            self._notes.flush()
            self._status_shown = True

    def note(self, sentence: str) -> None:
        """A line about the answer, not of it."""
        self._clear_status()
        self._end_line()
        self._notes.write(self._dim(sentence) + "\n")
        self._notes.flush()

    def prompt(self, text: str) -> None:
        """Ask the person; their line follows."""
        self._clear_status()
        self._end_line()
        self._notes.write(text)
        self._notes.flush()

    def show(self, event: e.RunEvent) -> int | None:
        """Print one event. The exit code when it is the terminal one: 0 complete or cancelled, 1 failed."""
        match event:
            case e.TextDelta():
                self._text(event.delta)
            case e.AttemptStarted() if event.attempt > 1:
                self.note(f"[{event.worker} takes over]")
            case e.TextRetracted():
                self.note("[the interrupted piece is taken back and written anew]")
            case e.ToolCall():
                self.note(f"[{_by(event)}{printable(event.name)} {shortened(event.input)}]")
            case e.ToolProgress() if event.progress is not None:
                self.waiting(f"{printable(event.name)}: {shortened(event.progress)}")
            case e.ToolResult():
                became = f"failed: {printable(event.error)}" if event.error else f"-> {shortened(event.output)}"
                self.note(f"[{_by(event)}{printable(event.name)} {became}]")
            case e.Source():
                place = f" {printable(event.url)}" if event.url else ""
                self.note(f"[source: {printable(event.title)}{place}]")
            case e.StepStarted() if event.agent != self._agent and event.kind == "model":
                self._agent = event.agent
                if event.agent:
                    self.note(f"[{printable(event.agent)} writes]")
            case e.RunWaiting():
                self.note(waiting_for(event))
            case e.RunResumed():
                self.note(f"[goes on: {printable(event.reason)}]")
            case e.RunSteered():
                self.note(f"[joined: {printable(event.text)}]")
            case e.RunCompleted():
                self.note(summary(event.usage, event.cost_microusd))
                return 0
            case e.RunCancelled():
                self.note(f"stopped · {summary(event.usage, event.cost_microusd)}")
                return 0
            case e.RunFailed():
                self.note(f"failed ({event.code}): {printable(event.message)}")
                return 1
            case _:
                pass
        return None

    def detached(self) -> None:
        """The person leaves, the answer stays."""
        self.note(f"The answer goes on without you. Come back: {self._come_back}   Stop it: {self._stop}")

    def _text(self, delta: str) -> None:
        self._clear_status()
        text = printable(delta)
        self._out.write(text)
        self._out.flush()
        if text:
            self._line_open = not text.endswith("\n")

    def _end_line(self) -> None:
        if self._line_open:
            self._out.write("\n")
            self._out.flush()
            self._line_open = False

    def _clear_status(self) -> None:
        if self._status_shown:
            self._notes.write("\r\x1b[K")
            self._notes.flush()
            self._status_shown = False

    def _dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self._colour else text


def printable(text: str) -> str:
    """The text without control characters other than newline and tab: what a model writes must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(character for character in text if character in "\n\t" or not _is_control(character))


def _is_control(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0


def waiting_for(event: e.RunWaiting) -> str:
    """What a run waits for, and until when."""
    until = f", until {event.expires_at}" if event.expires_at else ""
    asks = f" {printable(event.prompt)}" if event.prompt else ""
    return f"[waits for {'its time' if event.reason == 'timer' else printable(event.reason)}{until}]{asks}"


def _by(event: e.ToolCall | e.ToolResult) -> str:
    return f"{printable(event.agent)}: " if event.agent else ""


def shortened(value: Any) -> str:
    """JSON, or a text, on one line of at most LONGEST characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(printable(text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def summary(usage: Usage, cost_microusd: int | None) -> str:
    """`37 tokens in, 120 out, 0.000078 USD`."""
    about = "about " if usage.estimated else ""
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    cost = "cost unknown" if cost_microusd is None else f"{Decimal(cost_microusd) / 1_000_000:.6f} USD"
    return f"{about}{usage.input_tokens} tokens in{cached}, {usage.output_tokens} out, {cost}"


def lenient(stream: TextIO) -> TextIO:
    """The stream, made to replace what its encoding cannot show instead of raising."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream
