"""What an agent may use in one run, and what is left of it. An agent that was handed to has limits of its own."""

from dataclasses import dataclass
from datetime import datetime

from contracts.codes import RunFailure
from contracts.registry import Model, cost_microusd
from contracts.run_state import RunState
from contracts.times import parse_rfc3339
from contracts.usage import Usage

from inference.agents.domain.config import Limits
from inference.domain.endings import Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one agent has used so far. `cost_microusd` counts what is known."""

    steps: int
    tokens: int
    cost_microusd: int


def spent_by(state: RunState, agent: str | None) -> Spent:
    """Of the steps tagged with `agent`; a step that was begun counts."""
    finished = {step.step for step in state.steps if step.agent == agent}
    steps = finished | {step.step for step in state.open_steps.values() if step.agent == agent}
    ledger = [entry for entry in state.ledger if entry.step in steps]
    return Spent(
        steps=len(steps),
        tokens=sum(entry.usage.input_tokens + entry.usage.output_tokens for entry in ledger),
        cost_microusd=sum(entry.cost_microusd or 0 for entry in ledger),
    )


def limit_reached(spent: Spent, limits: Limits, *, more_steps: int) -> Failed | None:
    """Why `more_steps` may not begin."""
    if spent.steps + more_steps > limits.steps:
        sentence = f"The answer needed more than the {limits.steps} steps that its agent may take."
        return Failed(RunFailure.STEP_LIMIT, f"{sentence} What is shown is stored.")
    if spent.tokens >= limits.tokens:
        return Failed(RunFailure.TOKEN_LIMIT, _tokens_sentence(limits))
    if limits.cost_microusd is not None and spent.cost_microusd >= limits.cost_microusd:
        return Failed(RunFailure.COST_LIMIT, _cost_sentence(limits.cost_microusd))
    return None


def seconds_left(state: RunState, agent: str | None, limits: Limits, now: datetime) -> float:
    """How long the agent may still work in this run, counted from its first step; what the run has waited since does not
    count."""
    begun = state.agents.get(agent or "")
    if begun is None:
        return limits.seconds
    waited = (state.waited_ms - begun.waited_ms) / 1000
    return limits.seconds + waited - (now - parse_rfc3339(begun.at)).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How many tokens one model call may say, and how the run ends where it says more."""

    output_tokens: int
    failed: Failed


BUDGET_SENTENCE = "Your budget for today is used up. What is shown is stored; ask again tomorrow."


def allowance_for(
    model: Model, *, input_tokens: int, spent: Spent, limits: Limits, budget_microusd: int | None
) -> Allowance:
    """The narrowest of what the agent may still use and what the user may still spend (`budget_microusd`, on this call), for
    a call with about `input_tokens`; less than one token: it may not be made."""
    found = [
        Allowance(
            output_tokens=limits.tokens - spent.tokens - input_tokens,
            failed=Failed(RunFailure.TOKEN_LIMIT, _tokens_sentence(limits)),
        )
    ]
    if limits.cost_microusd is not None:
        left = _affordable(model, input_tokens, limits.cost_microusd - spent.cost_microusd)
        if left is not None:
            failed = Failed(RunFailure.COST_LIMIT, _cost_sentence(limits.cost_microusd))
            found.append(Allowance(output_tokens=left, failed=failed))
    if budget_microusd is not None:
        left = _affordable(model, input_tokens, budget_microusd)
        if left is not None:
            found.append(
                Allowance(output_tokens=left, failed=Failed(RunFailure.BUDGET_REACHED, BUDGET_SENTENCE)),
            )
    return min(found, key=lambda allowance: allowance.output_tokens)


def _affordable(model: Model, input_tokens: int, microusd: int) -> int | None:
    """Tokens of output that `microusd` pay for after the input, None where the price is unknown or nothing."""
    input_cost = cost_microusd(model, Usage(input_tokens=input_tokens))
    if input_cost is None or model.output is None:
        return None
    if model.output == 0:
        return None if input_cost <= microusd else 0
    return int((microusd - input_cost) / model.output)


def _tokens_sentence(limits: Limits) -> str:
    return f"The answer needed more than the {limits.tokens:,} tokens that its agent may use. What is shown is stored."


def _cost_sentence(microusd: int) -> str:
    return f"The answer cost more than the {microusd / 1e6:g} USD that its agent may spend. What is shown is stored."
