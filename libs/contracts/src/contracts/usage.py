"""Tokens and money of a model call."""

import msgspec


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """Token counts of one or more model calls.

    `cached_tokens` are part of `input_tokens`; `reasoning_tokens` are part of `output_tokens`: each is billed once.
    `estimated` says that the provider's own figures never came and these were counted here.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
        )


class LedgerEntry(msgspec.Struct, kw_only=True, frozen=True):
    """What one model call of one attempt used and cost. `cost_microusd` is null where the model's price is unknown."""

    attempt: int
    step: int
    model: str
    usage: Usage
    cost_microusd: int | None = None
