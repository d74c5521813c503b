"""Folding a long log without copying its text at every token."""

from copy import copy

from contracts.events import ReasoningDelta, RunEvent, TextDelta
from contracts.run_state import GapError, RunState


class LogFold:
    """A RunState that gathers deltas of one part and joins them when somebody looks.

    RunState.apply copies the whole text at each delta, which is quadratic over a long answer; here the copying is done at
    control events and snapshots only, whose number does not grow with the text.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._first: TextDelta | ReasoningDelta | None = None
        self._pieces: list[str] = []
        self.sequence = state.sequence

    def apply(self, event: RunEvent) -> None:
        """Fold the next event in; raises GapError as RunState.apply does."""
        if not isinstance(event, TextDelta | ReasoningDelta):
            self.state.apply(event)
        else:
            if event.sequence != self.sequence + 1:
                raise GapError(f"{event.run_id}: event {event.sequence} after {self.sequence}")
            if self._first is None or self._first.part != event.part or type(self._first) is not type(event):
                self._settle()
                self._first = event
            self._pieces.append(event.delta)
        self.sequence = event.sequence

    @property
    def state(self) -> RunState:
        """The state after everything applied so far."""
        self._settle()
        return self._state

    def _settle(self) -> None:
        if self._first is not None:
            whole = copy(self._first)
            whole.delta = "".join(self._pieces)
            self._state.apply(whole)
            self._state.sequence = self.sequence
            self._first, self._pieces = None, []
