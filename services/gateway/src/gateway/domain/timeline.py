"""When a run was accepted, published, claimed, asked the model, had its first word and showed it, ended, and was stored: from
its record and its log."""

from dataclasses import dataclass, field, replace
from typing import Final

from contracts import events as e
from contracts.times import parse_rfc3339

ACCEPTED: Final = "accepted"
PUBLISHED: Final = "published"
CLAIMED: Final = "claimed"
ASKED: Final = "asked"
FIRST_TOKEN: Final = "first_token"
SHOWN: Final = "shown"
ENDED: Final = "ended"
STORED: Final = "stored"
ORDER: Final = (ACCEPTED, PUBLISHED, CLAIMED, ASKED, FIRST_TOKEN, SHOWN, ENDED, STORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A moment of the run: `offset_ms` after acceptance, `took_ms` after the moment before it."""

    name: str
    at: str
    offset_ms: int
    took_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptSpan:
    """One worker's hold. `ended_at` is when the next one began or the run ended; None while it works. `trace_id` is that of
    its trace, None where that is not recorded."""

    attempt: int
    worker: str
    started_at: str
    ended_at: str | None = None
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpan:
    """One model or tool call of one attempt. `outcome`: running, finished, interrupted (its worker was replaced) or the
    run's end where that ended it."""

    step: int
    kind: str
    name: str
    attempt: int
    started_at: str
    ended_at: str | None = None
    outcome: str = "running"
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """`whole` is False where the log has expired, and only what conversation keeps is told. `pieces` counts text events."""

    whole: bool
    phases: tuple[Phase, ...]
    attempts: tuple[AttemptSpan, ...]
    steps: tuple[StepSpan, ...]
    retractions: int
    pieces: int


@dataclass
class TimelineBuilder:
    """Feed it the run's events in order. Of text only the first piece must be decoded: see `wants_text`."""

    accepted_at: str
    moments: dict[str, str] = field(default_factory=dict)
    attempts: list[AttemptSpan] = field(default_factory=list)
    steps: list[StepSpan] = field(default_factory=list)
    retractions: int = 0
    pieces: int = 0

    @property
    def wants_text(self) -> bool:
        """No text was seen yet."""
        return FIRST_TOKEN not in self.moments

    def see(self, event: e.RunEvent) -> None:
        """The next event."""
        match event:
            case e.AttemptStarted():
                self._end_attempt(event.at, "interrupted")
                self.attempts.append(
                    AttemptSpan(
                        attempt=event.attempt, worker=event.worker, started_at=event.at, trace_id=event.trace_id
                    )
                )
                if event.published_at is not None:
                    self.moments.setdefault(PUBLISHED, event.published_at)
                self.moments.setdefault(CLAIMED, event.at)
            case e.StepStarted():
                self._end_steps(event.at, "interrupted", step=event.step)
                self.steps.append(
                    StepSpan(
                        step=event.step, kind=event.kind, name=event.name, attempt=event.attempt, started_at=event.at
                    )
                )
                if event.kind == "model":
                    self.moments.setdefault(ASKED, event.at)
            case e.StepFinished():
                self._end_steps(event.at, "finished", step=event.step, finish_reason=event.finish_reason)
            case e.TextDelta() | e.ReasoningDelta():
                self.pieces += 1
                self.moments.setdefault(FIRST_TOKEN, event.at)
            case e.TextRetracted():
                self.retractions += 1
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                ended = {e.RunFailed: "failed", e.RunCancelled: "cancelled"}.get(type(event), "finished")
                self._end_attempt(event.at, ended)
                self.moments[ENDED] = event.at

    def skip_text(self) -> None:
        """A further piece of text, not decoded."""
        self.pieces += 1

    def build(self, *, ended_at: str, stored_at: str = "", shown_at: str = "") -> Timeline:
        """The timeline; `ended_at` and `stored_at` as conversation has them, `shown_at` as this gateway remembers it, each empty
        where it is not known (yet)."""
        moments = {ACCEPTED: self.accepted_at, **self.moments}
        for name, known in ((ENDED, ended_at), (STORED, stored_at), (SHOWN, shown_at)):
            if known:
                moments.setdefault(name, known)
        phases: list[Phase] = []
        begun = before = parse_rfc3339(self.accepted_at)
        for name in ORDER:
            if name in moments:
                at = parse_rfc3339(moments[name])
                # Clocks of several machines: nothing takes less than no time.
                at = max(at, before)
                phases.append(
                    Phase(
                        name=name,
                        at=moments[name],
                        offset_ms=round((at - begun).total_seconds() * 1000),
                        took_ms=round((at - before).total_seconds() * 1000),
                    )
                )
                before = at
        return Timeline(
            whole=bool(self.attempts),
            phases=tuple(phases),
            attempts=tuple(self.attempts),
            steps=tuple(self.steps),
            retractions=self.retractions,
            pieces=self.pieces,
        )

    def _end_attempt(self, at: str, outcome: str) -> None:
        self._end_steps(at, outcome)
        if self.attempts and self.attempts[-1].ended_at is None:
            self.attempts[-1] = replace(self.attempts[-1], ended_at=at)

    def _end_steps(self, at: str, outcome: str, *, step: int | None = None, finish_reason: str | None = None) -> None:
        """End the open step of that number, or all: tools run side by side."""
        for place, span in enumerate(self.steps):
            if span.ended_at is None and step in (None, span.step):
                self.steps[place] = replace(span, ended_at=at, outcome=outcome, finish_reason=finish_reason)
