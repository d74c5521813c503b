"""How a run stands: the status line's words, from the run's events alone."""

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from contracts import events as e
from contracts.run_state import RunState
from contracts.usage import Usage

from everthread.screen import printable

_WINDOW: Final = 3.0
_LETTERS_OF_A_TOKEN: Final = 4


@dataclass(kw_only=True)
class Standing:
    """One run, as far as its events are known here. Times are the terminal's own clock, in seconds."""

    run_id: str
    state: str = "queued"
    since: float = 0.0
    model: str = ""
    path: str = ""
    agent: str = ""
    attempt: int = 1
    usage: Usage = field(default_factory=Usage)
    cost_microusd: int | None = 0
    stopping: bool = False
    ended: bool = False
    waits: e.RunWaiting | None = None
    tools: dict[str, str] = field(default_factory=dict)
    _written: deque[tuple[float, int]] = field(default_factory=deque)

    @classmethod
    def of(cls, state: RunState, now: float) -> "Standing":
        """From a fold of the log."""
        return cls(
            run_id=state.run_id,
            state="thinking",
            since=now,
            model=state.model,
            path=state.path,
            attempt=max(state.attempt, 1),
            usage=state.usage,
            cost_microusd=state.cost_microusd,
        )

    def apply(self, event: e.RunEvent, now: float) -> None:
        """The next event of the run."""
        self.attempt = max(self.attempt, event.attempt)
        match event:
            case e.RunStarted():
                self.model, self.path = event.model, event.path
                self._become("starting", now)
            case e.AttemptStarted():
                self._written.clear()
                self._become("starting", now)
            case e.StepStarted() if event.kind == "model":
                self.agent = event.agent or ""
                self._become("thinking", now)
            case e.ToolCall():
                self.tools[event.tool_call_id] = printable(event.name)
                self._become("using", now)
            case e.ToolResult():
                self.tools.pop(event.tool_call_id, None)
            case e.TextDelta():
                self._written.append((now, len(event.delta)))
                self._become("writing", now)
            case e.UsageReported():
                self.usage = self.usage + event.usage
                known = self.cost_microusd is not None and event.cost_microusd is not None
                self.cost_microusd = (self.cost_microusd or 0) + (event.cost_microusd or 0) if known else None
            case e.RunWaiting():
                self.waits = event
                self._become("waiting", now)
            case e.RunResumed():
                self.waits = None
                self._become("thinking", now)
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                self.ended, self.waits = True, None
                self.usage, self.cost_microusd = event.usage, event.cost_microusd
            case _:
                pass

    def words(self, now: float) -> str:
        """One line: what it does, by which model and agent, on which path and attempt, for how much."""
        named = [printable(word) for word in (self._doing(now), self.agent, self.model, self.path) if word]
        if self.attempt > 1:
            named.append(f"attempt {self.attempt}, nothing lost")
        if self.usage.input_tokens or self.usage.output_tokens:
            named.append(f"{self.usage.input_tokens} in, {self.usage.output_tokens} out")
            named.append(money(self.cost_microusd))
        return " · ".join(named)

    def _become(self, state: str, now: float) -> None:
        if self.state != state:
            self.state, self.since = state, now

    def _doing(self, now: float) -> str:
        waited = f" {now - self.since:.0f} s" if now - self.since >= 1 else ""
        if self.stopping:
            return "stopping"
        if self.state == "waiting" and self.waits is not None:
            return "waiting for its time" if self.waits.reason == "timer" else f"waiting for {self.waits.reason}"
        if self.state == "using" and self.tools:
            return f"using {', '.join(dict.fromkeys(self.tools.values()))}{waited}"
        if self.state == "writing":
            speed = self._speed(now)
            return f"writing {speed} tokens/s" if speed else "writing"
        return f"{'thinking' if self.state == 'using' else self.state}{waited}"

    def _speed(self, now: float) -> int:
        while self._written and now - self._written[0][0] > _WINDOW:
            self._written.popleft()
        if not self._written or now - self._written[0][0] < 0.5:
            return 0
        letters = sum(count for _, count in self._written)
        return round(letters / _LETTERS_OF_A_TOKEN / (now - self._written[0][0]))


def money(microusd: int | None) -> str:
    """`0.000078 USD`, or that it is not known."""
    return "cost unknown" if microusd is None else f"{Decimal(microusd) / 1_000_000:.6f} USD"
