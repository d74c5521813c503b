"""Sums of the ledger."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """What some calls used and cost. `day` is `2026-11-21`; it and `model` are empty where all are summed up. Tokens count
    once each: cached ones are part of the input, reasoning ones of the output. Retried calls are those of second and later
    attempts; of estimated ones the provider did not tell the tokens: most were broken off."""

    day: str
    model: str
    user_id: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_microusd: int
    unpriced_calls: int
    estimated_calls: int
    retried_calls: int
    retried_cost_microusd: int
    estimated_cost_microusd: int
