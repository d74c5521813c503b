"""Fitting what a model is sent to its window, by token count. Pure; the decision comes back as data for the step's event.

What must go in: the system prompt, the tools, the message to answer. Then, from the newest back: what this run has done so
far, retrieved passages by rank, the history. A tool call and its results stand or fall together, since providers refuse one
without the other. What is dropped is always the oldest, and never from the middle.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Role = Literal["user", "assistant", "tool"]
Count = Callable[[str], int]
"""Tokens of a text; an estimate may be a fifth too low, which MARGIN covers."""

TOKENS_PER_MESSAGE: Final = 4
MARGIN: Final = 0.05
"""Part of the window left free, as counts are estimates."""
PASSAGES_SHARE: Final = 0.4
"""Part of what is free that passages may take."""
LEAST_RESULT: Final = 64
"""Tokens that a shortened tool result keeps."""
SHORTENED: Final = "\n[Shortened to fit; call the tool again for the rest.]"


class ContextTooLongError(ValueError):
    """Even without history and passages it does not fit: the run fails with `context_too_long`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A call as the assistant's message names it; `arguments` is JSON text."""

    tool_call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One message. An assistant's may hold `calls`; a tool's answers the call `tool_call_id`. `id` is the stored message's,
    empty for what this run has made."""

    role: Role
    text: str
    calls: tuple[ToolUse, ...] = ()
    tool_call_id: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """All there is. `turn` begins with the message to answer and goes on with what this run has done since; `history` is
    before it, oldest first. `passages` are texts, the best first. `summary` stands for history that is dropped."""

    system: str
    turn: Sequence[Entry]
    history: Sequence[Entry] = ()
    passages: Sequence[str] = ()
    summary: str = ""
    tools: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was kept, for the step's event. Tokens are estimates; `window` is the model's, `reserved` what is left for the
    answer. `oldest` is the id of the oldest stored message that is still in."""

    window: int
    reserved: int
    input_tokens: int
    history_kept: int
    history_dropped: int
    steps_dropped: int
    passages_kept: int
    passages_dropped: int
    results_shortened: int
    summarised: bool
    oldest: str = ""

    @property
    def is_whole(self) -> bool:
        """Nothing was left out."""
        return not (self.history_dropped or self.steps_dropped or self.passages_dropped or self.results_shortened)

    def as_data(self) -> dict[str, Any]:
        """JSON for the event."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What to send: the system prompt (with the summary where history was dropped), the passages, the messages in order."""

    system: str
    passages: tuple[str, ...]
    entries: tuple[Entry, ...]
    decision: Decision


def fit(offer: Offer, *, window: int, reserved: int, count: Count) -> Fitted:
    """Fit `offer` into `window` tokens with `reserved` left for the answer. Raises ContextTooLongError."""
    budget = int(window * (1 - MARGIN)) - reserved
    question, *steps = _units(offer.turn) or [[]]
    must = (
        TOKENS_PER_MESSAGE + count(offer.system) + (count(offer.tools) if offer.tools else 0) + _size(question, count)
    )
    free = budget - must
    if free < 0:
        raise ContextTooLongError(
            f"the message and what must go with it have about {must} tokens; the model takes {max(0, budget)}"
        )
    kept_steps, shortened, free = _keep_steps(steps, free, count)
    passages, free = _keep_passages(offer.passages, int(free * PASSAGES_SHARE), free, count)
    history = _units(offer.history)
    summary_cost = TOKENS_PER_MESSAGE + count(offer.summary) if offer.summary else 0
    kept = _newest(history, free, count)
    summarised = False
    if len(kept) < len(history) and offer.summary and summary_cost <= free:
        kept, summarised = _newest(history, free - summary_cost, count), True
        free -= summary_cost
    # A model that is shown an answer first takes itself for the one who began.
    while kept and kept[0][0].role != "user":
        kept = kept[1:]
    free -= sum(_size(unit, count) for unit in kept)
    entries = tuple(entry for unit in (*kept, question, *kept_steps) for entry in unit)
    decision = Decision(
        window=window,
        reserved=reserved,
        input_tokens=budget - free,
        history_kept=sum(map(len, kept)),
        history_dropped=len(offer.history) - sum(map(len, kept)),
        steps_dropped=sum(map(len, steps)) - sum(map(len, kept_steps)),
        passages_kept=len(passages),
        passages_dropped=len(offer.passages) - len(passages),
        results_shortened=shortened,
        summarised=summarised,
        oldest=next((entry.id for entry in entries if entry.id), ""),
    )
    system = f"{offer.system}\n\nEarlier in this conversation: {offer.summary}" if summarised else offer.system
    return Fitted(system=system, passages=passages, entries=entries, decision=decision)


def _units(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Entries that stand or fall together: an assistant's message with calls and all their results; everything else alone.

    What cannot be sent is left out here: a result whose call is missing, and a call whose result never came (the run was
    stopped in between), while the words beside such a call are kept.
    """
    units: list[list[Entry]] = []
    answered = {entry.tool_call_id for entry in entries if entry.role == "tool"}
    open_calls: set[str] = set()
    for entry in entries:
        if entry.role == "tool":
            if entry.tool_call_id in open_calls:
                units[-1].append(entry)
                open_calls.discard(entry.tool_call_id)
            continue
        calls = tuple(call for call in entry.calls if call.tool_call_id in answered)
        if entry.calls and not calls and not entry.text:
            continue
        units.append([Entry(role=entry.role, text=entry.text, calls=calls, id=entry.id)])
        open_calls = {call.tool_call_id for call in calls}
    return [_with_answered_calls_only(unit) for unit in units]


def _with_answered_calls_only(unit: list[Entry]) -> list[Entry]:
    """A result may have come after another message had begun; then its call goes too."""
    first, results = unit[0], {entry.tool_call_id for entry in unit[1:]}
    if {call.tool_call_id for call in first.calls} == results:
        return unit
    calls = tuple(call for call in first.calls if call.tool_call_id in results)
    return [Entry(role=first.role, text=first.text, calls=calls, id=first.id), *unit[1:]]


def _size(unit: Iterable[Entry], count: Count) -> int:
    return sum(
        TOKENS_PER_MESSAGE
        + count(entry.text)
        + sum(TOKENS_PER_MESSAGE + count(call.name) + count(call.arguments) for call in entry.calls)
        for entry in unit
    )


def _newest(units: Sequence[list[Entry]], free: int, count: Count) -> list[list[Entry]]:
    """As many of the newest as fit, without a gap."""
    kept = 0
    for unit in reversed(units):
        free -= _size(unit, count)
        if free < 0:
            break
        kept += 1
    return list(units[len(units) - kept :])


def _keep_steps(steps: Sequence[list[Entry]], free: int, count: Count) -> tuple[list[list[Entry]], int, int]:
    """The steps of this run: all of them if they fit, else with shortened results, else the newest, shortened."""
    if not steps:
        return [], 0, free
    if sum(_size(unit, count) for unit in steps) <= free:
        return list(steps), 0, free - sum(_size(unit, count) for unit in steps)
    cut = _shorten_results(steps, free, count)
    kept = _newest(cut, free, count)
    if not kept:
        least = [[_shortened(entry, LEAST_RESULT, count) for entry in cut[-1]]]
        kept = least if _size(least[0], count) <= free else []
    if not kept:
        raise ContextTooLongError("what the last step brought does not fit, even shortened")
    originals = [steps[index] for index in range(len(steps) - len(kept), len(steps))]
    shortened = sum(
        before.text != after.text
        for unit, original in zip(kept, originals, strict=True)
        for after, before in zip(unit, original, strict=True)
    )
    return kept, shortened, free - sum(_size(unit, count) for unit in kept)


def _shorten_results(steps: Sequence[list[Entry]], free: int, count: Count) -> list[list[Entry]]:
    """Results of a size with which all steps fit, where that leaves each at least LEAST_RESULT tokens. The newest step's are
    what the model has just asked for: they share one half, all others the other."""
    bare = sum(
        _size([Entry(role=e.role, text="", calls=e.calls) if e.role == "tool" else e for e in unit], count)
        for unit in steps
    )
    half = max(0, free - bare) // 2
    newest = sum(entry.role == "tool" for entry in steps[-1])
    others = sum(entry.role == "tool" for unit in steps[:-1] for entry in unit)
    shares = {True: half // max(1, newest), False: half // max(1, others)}
    if not others:
        shares[True] *= 2
    return [
        [_shortened(entry, max(LEAST_RESULT, shares[unit is steps[-1]]), count) for entry in unit] for unit in steps
    ]


def _shortened(entry: Entry, tokens: int, count: Count) -> Entry:
    size = count(entry.text)
    if entry.role != "tool" or size <= tokens:
        return entry
    room = max(0, tokens - count(SHORTENED))
    text = entry.text[: len(entry.text) * room // size]
    while text and count(text) > room:
        text = text[: len(text) * 9 // 10]
    return Entry(role=entry.role, text=text + SHORTENED, tool_call_id=entry.tool_call_id, id=entry.id)


def _keep_passages(passages: Sequence[str], share: int, free: int, count: Count) -> tuple[tuple[str, ...], int]:
    kept: list[str] = []
    for passage in passages:
        size = TOKENS_PER_MESSAGE + count(passage)
        if size > share:
            break
        share, free = share - size, free - size
        kept.append(passage)
    return tuple(kept), free
