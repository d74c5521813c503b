"""The guard of the rollout: from what is known of both paths, whether to go on, to wait or to go back. Pure: time comes in."""

from dataclasses import dataclass, replace
from typing import Literal

from gateway.domain.comparison import PathFigures, difference, quantile, quantile_interval
from gateway.domain.path_flag import LEGACY

Mode = Literal["paused", "running", "cooling", "done"]
Action = Literal["hold", "advance", "roll_back"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPolicy:
    """When a step is good enough and when it is not. Shares are percent, times seconds unless named otherwise."""

    steps: tuple[int, ...] = (1, 5, 25, 50, 100)
    least_runs: int = 200
    """Durable runs that must have ended at a step before the next."""
    least_seconds: float = 600.0
    sample: int = 20
    """Runs on each path below which nothing is concluded from rates."""
    error_margin: float = 0.01
    """So much more of the runs may fail before it is a breach."""
    completion_margin: float = 0.02
    first_text_factor: float = 1.25
    first_text_margin_ms: float = 100.0
    stalled_after: float = 60.0
    missing_limit: int = 2
    """Evaluations in a row without figures after which the guard goes back."""
    cool_down: float = 900.0
    most_rollbacks: int = 3
    """Then it stays where it is until a person resumes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardState:
    """Where the rollout is. `since` is when `share` was set and `until` when cooling ends, in Unix seconds."""

    mode: Mode = "paused"
    share: int = 100
    since: float = 0.0
    good: int = 0
    """The last share that was good enough; where a breach leads back to."""
    until: float = 0.0
    missing: int = 0
    rollbacks: int = 0
    reason: str = ""
    gaps: int = 0
    doubles: int = 0
    """What had been counted of both, over all gateways, when the step began."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Events that viewers were shown out of order, and twice. Both must stay 0 for ever."""

    gaps: int = 0
    doubles: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known at one evaluation. `broken` is what viewers were shown since the step began."""

    durable: PathFigures
    legacy: PathFigures
    broken: Broken = Broken()


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and the state after it. On `hold` the share stays."""

    action: Action
    state: GuardState
    reason: str


def decide(state: GuardState, policy: GuardPolicy, evidence: Evidence | None, *, now: float) -> Decision:
    """One evaluation. `evidence` is None where the figures could not be had."""
    if state.mode == "cooling":
        if now < state.until:
            return Decision("hold", state, f"cooling down for {state.until - now:.0f} s more: {state.reason}")
        state = replace(state, mode="running", since=now, missing=0)
    if evidence is None:
        missing = replace(state, missing=state.missing + 1)
        if missing.missing < policy.missing_limit or state.share == 0 or not _is_watched(state):
            return Decision("hold", missing, f"no figures, {missing.missing} times in a row")
        return _back(missing, policy, f"no figures {missing.missing} times in a row", now)
    state = replace(state, missing=0)
    if not _is_watched(state):
        return Decision("hold", state, state.reason or "paused")
    if state.share > 0:
        promise = broken_promise(evidence)
        if promise:
            return _back(state, policy, promise, now, stop=True)
        breach = breach_of(evidence, policy)
        if breach:
            return _back(state, policy, breach, now)
    if state.mode == "done":
        return Decision("hold", state, "everybody is on the durable path")
    return _forward(state, policy, evidence, now)


def _is_watched(state: GuardState) -> bool:
    """A paused rollout is a person's: the guard neither goes on nor back."""
    return state.mode != "paused"


def broken_promise(evidence: Evidence) -> str:
    """Which promise the durable path broke, as a sentence; empty where none. One is enough: no sample makes it better."""
    broken, orphans = evidence.broken, evidence.durable.orphans
    if broken.gaps:
        return f"viewers were shown {broken.gaps} events out of order"
    if broken.doubles:
        return f"viewers were shown {broken.doubles} events twice"
    return f"{orphans} runs of the durable path were orphaned" if orphans else ""


def breach_of(evidence: Evidence, policy: GuardPolicy) -> str:
    """Why the durable path is not good enough, as a sentence; empty where it is, or where too little is known."""
    ours, theirs = evidence.durable, evidence.legacy
    if ours.judged < policy.sample:
        return ""
    if theirs.judged < policy.sample:
        # Nothing to compare with (a hundred percent, or a quiet legacy path): only what would be bad in itself.
        worse = difference((ours.bad, ours.judged), (0, ours.judged))
        return f"{ours.bad} of {ours.judged} runs failed or stalled" if worse.low > 5 * policy.error_margin else ""
    errors = difference((ours.bad, ours.judged), (theirs.bad, theirs.judged))
    if errors.low > policy.error_margin:
        return (
            f"{ours.bad} of {ours.judged} runs failed or stalled, {theirs.bad} of {theirs.judged} on {LEGACY}: at least "
            f"{errors.low:.1%} more"
        )
    completed = difference((ours.completed, ours.judged), (theirs.completed, theirs.judged))
    if completed.high < -policy.completion_margin:
        return (
            f"{ours.completed} of {ours.judged} runs completed, {theirs.completed} of {theirs.judged} on {LEGACY}: at least "
            f"{-completed.high:.1%} fewer"
        )
    return _slower(ours, theirs, policy)


def _slower(ours: PathFigures, theirs: PathFigures, policy: GuardPolicy) -> str:
    mine, other = (quantile_interval(figures.first_text_ms, 0.95) for figures in (ours, theirs))
    if mine is None or other is None:
        return ""
    if mine.low > other.high * policy.first_text_factor + policy.first_text_margin_ms:
        return (
            f"the first text takes {quantile(ours.first_text_ms, 0.95)} ms at the 95th percentile, "
            f"{quantile(theirs.first_text_ms, 0.95)} ms on {LEGACY}"
        )
    return ""


def _forward(state: GuardState, policy: GuardPolicy, evidence: Evidence, now: float) -> Decision:
    beyond = [step for step in policy.steps if step > state.share]
    seconds, runs = now - state.since, evidence.durable.ended
    if state.share and (runs < policy.least_runs or seconds < policy.least_seconds):
        reason = (
            f"at {state.share} %: {runs} of {policy.least_runs} runs, {seconds:.0f} of {policy.least_seconds:.0f} s"
        )
        return Decision("hold", replace(state, reason=reason), reason)
    if not beyond:
        return Decision("hold", replace(state, mode="done", good=state.share), "everybody is on the durable path")
    reason = (
        f"{runs} runs in {seconds:.0f} s at {state.share} % were good enough" if state.share else "the rollout begins"
    )
    after = replace(state, share=beyond[0], since=now, good=state.share, reason=reason, rollbacks=state.rollbacks)
    return Decision("advance", after, reason)


def _back(state: GuardState, policy: GuardPolicy, why: str, now: float, *, stop: bool = False) -> Decision:
    """To the last good step. `stop`: and no further until a person says so."""
    to = (
        state.good
        if state.good < state.share
        else max((step for step in policy.steps if step < state.share), default=0)
    )
    rollbacks = state.rollbacks + 1
    mode: Mode = "paused" if stop or rollbacks >= policy.most_rollbacks else "cooling"
    reason = f"{why}: back from {state.share} % to {to} %"
    before = max((step for step in policy.steps if step < to), default=0)
    after = replace(
        state,
        mode=mode,
        share=to,
        since=now,
        good=before,
        until=now + policy.cool_down,
        missing=0,
        rollbacks=rollbacks,
        reason=reason,
    )
    return Decision("roll_back", after, reason)
