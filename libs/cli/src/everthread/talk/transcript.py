"""What a thread looks like in a terminal: events in, finished lines and growing ones out. No terminal is needed for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from contracts import events as e
from contracts.parts import ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.run_state import RunState
from contracts.times import parse_rfc3339

from everthread.screen import printable, shortened, summary, waiting_for
from everthread.talk.people import People
from everthread.talk.prompt import Line, cut

Write = Callable[[str, str], None]
"""Takes a text and its style's name."""
_Key = tuple[str, str | None]


@dataclass(kw_only=True)
class _Words:
    """What one speaker of one run is saying: the line that still grows, and whether something of this step is in the history
    already."""

    part: int
    step: int = 0
    line: str = ""
    committed: bool = False


class Transcript:
    """The lines of a thread. A line that grows is not in the terminal's history before it ends, so what a crash takes back of
    it is simply gone; what stands in the history is taken back in words."""

    def __init__(self, write: Write, people: People, columns: Callable[[], int]) -> None:
        self._write = write
        self._people = people
        self._columns = columns
        self._said: dict[_Key, _Words] = {}
        self._tools: dict[str, str] = {}
        self._speaker: _Key | None = None

    def growing(self) -> list[Line]:
        """What grows now: the unfinished lines of all who speak, and the tools that run."""
        growing = [(key, words) for key, words in self._said.items() if words.line]
        lines: list[Line] = []
        for key, words in growing:
            if len(growing) > 1:
                lines.append(("speaker", _title(key)))
            lines.append(("", words.line))
        return [*lines, *(("note", text) for text in self._tools.values())]

    def note(self, text: str, style: str = "note") -> None:
        """A line of the conversation that is nobody's words, after all that was said until now."""
        self.finish()
        self._write(text, style)

    def aside(self, text: str, style: str = "note") -> None:
        """A line that is not of the conversation; what grows goes on below it."""
        self._write(text, style)

    def question(self, text: str, who: str) -> None:
        """What a person wrote, or a service."""
        self.finish()
        self._speaker = None
        self._write("", "")
        self._write(f"{who}:", "person")
        self._write(printable(text), "")

    def parts(self, run_id: str, parts: list[dict[str, Any]], content: str) -> None:
        """A stored answer."""
        self.finish()
        self._head((run_id, None))
        if not parts and content:
            self._write(printable(content), "")
        for part in parts:
            match part.get("type"):
                case "text":
                    self._write(printable(str(part.get("text", ""))), "")
                case "tool_call":
                    self._stored_tool(part)
                case "source":
                    self._write(_source(str(part.get("title", "")), part.get("url"), part.get("quote")), "note")
                case _:
                    pass

    def state(self, state: RunState) -> None:
        """A running answer up to where its events go on."""
        for number in sorted(state.parts):
            part = state.parts[number]
            key = (state.run_id, part.agent)
            match part.value:
                case TextPart(text=text):
                    self._grow(key, number, text)
                case ToolCallPart() as call if call.state in ("completed", "error"):
                    self.finish()
                    self._stored_tool(
                        {"name": call.name, "input": call.input, "output": call.output, "error": call.error}
                    )
                case ToolCallPart() as call:
                    self.note(f"[{_by(part.agent)}{printable(call.name)} {shortened(call.input)}]")
                    self._tools[call.tool_call_id] = f"{printable(call.name)} runs"
                case SourcePart() as source:
                    self.note(_source(source.title, source.url, source.quote))
                case ReasoningPart():
                    pass

    def show(self, event: e.RunEvent) -> None:
        """The next event of a run."""
        match event:
            case e.TextDelta():
                self._grow((event.run_id, event.agent), event.part, event.delta)
            case e.TextRetracted():
                self._retract(event)
            case e.AttemptStarted() if event.attempt > 1:
                self._tools.clear()
                # What grows stays below this: the new worker goes on with it, or takes it back.
                self.aside(
                    f"[{_instance(event.worker)} goes on with it: attempt {event.attempt}, nothing is lost]", "warning"
                )
            case e.StepStarted() if event.kind == "model":
                for words in self._of(event.run_id, event.agent):
                    if words.step != event.step:
                        words.step, words.committed = event.step, False
            case e.ToolCall() | e.ToolProgress() | e.ToolResult():
                self._tool(event)
            case e.Source():
                self.note(_source(event.title, event.url, event.quote))
            case e.RunWaiting():
                self.note(waiting_for(event), "warning")
            case e.RunResumed():
                by = f" by {self._people.name(event.by)}" if event.by else ""
                self.note(f"[goes on: {_RESUMED.get(event.reason, printable(event.reason))}{by}]")
            case e.RunSteered():
                self.note(f"[{self._people.name(event.by)} added: {printable(event.text)}]")
            case e.RunCompleted() | e.RunCancelled() | e.RunFailed():
                self._end(event)
            case _:
                pass

    def _end(self, event: e.Terminal) -> None:
        self._tools.clear()
        match event:
            case e.RunCompleted():
                self.note(f"[{summary(event.usage, event.cost_microusd)}]")
            case e.RunCancelled():
                said = summary(event.usage, event.cost_microusd)
                self.note(f"[stopped by {self._people.name(event.by)} · {said}]", "warning")
            case e.RunFailed():
                self.note(f"[failed ({event.code}): {printable(event.message)}]", "failure")
        self._said = {key: words for key, words in self._said.items() if key[0] != event.run_id}
        self._speaker = None

    def _grow(self, key: _Key, part: int, delta: str) -> None:
        words = self._said.get(key)
        if words is None:
            words = self._said[key] = _Words(part=part)
        if words.part != part:
            self._commit(key, words)
            words.part = part
        if self._speaker != key and not any(other.line for other in self._said.values()):
            self._head(key)
        *whole, words.line = (words.line + printable(delta)).split("\n")
        for line in whole:
            self._put(key, words, line)
        piece, words.line = cut(words.line, self._columns())
        if piece:
            self._put(key, words, piece)

    def _put(self, key: _Key, words: _Words, line: str) -> None:
        self._head(key)
        words.committed = True
        self._write(line, "")

    def _head(self, key: _Key) -> None:
        if self._speaker != key:
            self._speaker = key
            self._write(_title(key), "speaker")

    def _commit(self, key: _Key, words: _Words) -> None:
        line, words.line = words.line, ""
        if line:
            self._put(key, words, line)

    def finish(self) -> None:
        """Put every growing line into the history: something else comes after it."""
        for key, words in self._said.items():
            self._commit(key, words)

    def _of(self, run_id: str, agent: str | None) -> list[_Words]:
        return [words for key, words in self._said.items() if key[0] == run_id and agent in (None, key[1])]

    def _retract(self, event: e.TextRetracted) -> None:
        said = self._of(event.run_id, event.agent)
        committed = any(words.committed for words in said)
        for words in said:
            words.line, words.committed = "", False
        if event.from_sequence <= 1:
            self.note("[told once more from its beginning]", "warning")
        elif committed:
            self.note("[what stands above since the last step is taken back and written anew]", "warning")

    def _tool(self, event: e.ToolCall | e.ToolProgress | e.ToolResult) -> None:
        name = printable(event.name)
        match event:
            case e.ToolCall():
                self.note(f"[{_by(event.agent)}{name} {shortened(event.input)}]")
                self._tools[event.tool_call_id] = f"{name}: {event.state}"
            case e.ToolProgress():
                far = "" if event.progress is None else f", {shortened(event.progress)}"
                self._tools[event.tool_call_id] = f"{name}: {event.state}{far}"
            case e.ToolResult():
                self._tools.pop(event.tool_call_id, None)
                became = f"failed: {printable(event.error)}" if event.error else f"-> {shortened(event.output)}"
                took = _seconds(event.started_at, event.ended_at)
                self.note(f"[{_by(event.agent)}{name} {became}{took}]", "failure" if event.error else "note")

    def _stored_tool(self, part: dict[str, Any]) -> None:
        name, error = printable(str(part.get("name", ""))), part.get("error")
        asked = f" {shortened(part['input'])}" if part.get("input") is not None else ""
        became = f"failed: {printable(str(error))}" if error else f"-> {shortened(part.get('output'))}"
        self._write(f"[{name}{asked} {became}]", "note")


_LIFE: Final = 26
_RESUMED: Final = {
    "timer": "its time has come",
    "input": "answered",
    "approved": "approved",
    "denied": "refused",
    "expired": "nobody answered in time",
}


def _title(key: _Key) -> str:
    return f"{printable(key[1])}:" if key[1] else "answer:"


def _instance(worker: str) -> str:
    """`inference-1` of `inference-1-<the id of its life>`."""
    name, _, life = worker.rpartition("-")
    return printable(name if name and len(life) == _LIFE else worker)


def _by(agent: str | None) -> str:
    return f"{printable(agent)}: " if agent else ""


def _source(title: str, url: Any, quote: Any) -> str:
    place = f" {printable(str(url))}" if url else ""
    said = f": {shortened(str(quote))}" if quote else ""
    return f"[source: {printable(title)}{place}{said}]"


def _seconds(started_at: str | None, ended_at: str | None) -> str:
    if not started_at or not ended_at:
        return ""
    try:
        took = parse_rfc3339(ended_at) - parse_rfc3339(started_at)
    except ValueError:
        return ""
    return f" · {took.total_seconds():.1f} s"
