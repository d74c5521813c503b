"""The model registry: which models there are, where they are asked, what they cost."""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from typing import Any, Final, Literal

from contracts.usage import Usage

Continuation = Literal["prefix", "retract"]
ToolChoice = Literal["auto", "none", "required", "function"]
TOOL_CHOICES: frozenset[ToolChoice] = frozenset({"auto", "none", "required", "function"})
DEFAULT_WITH_OPENAI = "openai:gpt-4o-mini"
DEFAULT_EMBEDDED = "embedded:smollm2-135m"


FILE: Final = "models.toml"

_TABLES: Final = ("providers", "models")
_OF_A_PROVIDER: Final = ("base_url", "base_url_env", "api_key_env")
_OF_A_MODEL: Final = (
    "upstream_name",
    "context_window",
    "input",
    "cached_input",
    "output",
    "continuation",
    "max_output_tokens",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
)


class RegistryError(ValueError):
    """The registry cannot be used; the sentence names the file, the entry and what was expected."""


class _Mistake(ValueError):
    """What is wrong in the file, which the sentence does not name yet."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """Where a provider is asked. `base_url` already has the environment's override; empty when it is not configured."""

    name: str
    base_url: str
    api_key_env: str


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model. Prices in USD per million tokens, None where unknown. `tools`: it can call tools, so it is offered them.
    `tool_choice` and `parallel_tool_calls`: what its provider takes of what a client may ask for with tools of its own."""

    id: str
    provider: Provider
    upstream_name: str
    context_window: int
    input: Decimal | None
    cached_input: Decimal | None
    output: Decimal | None
    continuation: Continuation
    max_output_tokens: int | None
    tools: bool = False
    tool_choice: frozenset[ToolChoice] = TOOL_CHOICES
    parallel_tool_calls: bool = True

    @property
    def available(self) -> bool:
        """Its provider has an address."""
        return bool(self.provider.base_url)


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All models by id, the one used when nobody chooses, and all providers by name."""

    models: Mapping[str, Model]
    default: str
    providers: Mapping[str, Provider] = field(default_factory=dict)

    def find(self, model_id: str) -> Model | None:
        """The model, or None where it is unknown or its provider has no address."""
        model = self.models.get(model_id)
        return model if model is not None and model.available else None


def load_registry(environment: Mapping[str, str], text: str | None = None, *, file: str = FILE) -> Registry:
    """Read the registry (the packaged one unless `text` is given, which is that of `file`) with the environment's overrides.
    Raises RegistryError, also for a key that nothing reads: a misspelled price would be none."""
    source = files("contracts").joinpath(FILE).read_text("utf-8") if text is None else text
    try:
        data = tomllib.loads(source)
        _nothing_else("", data, _TABLES)
        providers = {name: _provider(name, entry, environment) for name, entry in _tables(data, "providers").items()}
        models = {model_id: _model(model_id, entry, providers) for model_id, entry in _tables(data, "models").items()}
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{file} is no TOML: {error}") from error
    except _Mistake as mistake:
        raise RegistryError(f"{file}: {mistake}") from mistake
    default = DEFAULT_WITH_OPENAI if environment.get("OPENAI_BASE_URL") else DEFAULT_EMBEDDED
    return Registry(models=models, default=default, providers=providers)


def _tables(data: Mapping[str, Any], key: str) -> Mapping[str, Mapping[str, Any]]:
    found = data.get(key, {})
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise _Mistake(f"{key} is expected to be tables, [{key}.<name>] each")
    return found


def _nothing_else(table: str, entry: Mapping[str, Any], known: Collection[str]) -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise _Mistake(f"{table}{key[:60]} is set, but nothing reads it ({meant})")


def _provider(name: str, entry: Mapping[str, Any], environment: Mapping[str, str]) -> Provider:
    _nothing_else(f"[providers.{name}] ", entry, _OF_A_PROVIDER)
    variable = _text(name, entry, "base_url_env")
    overridden = environment.get(variable) if variable else None
    base_url = overridden or _text(name, entry, "base_url")
    if base_url and not base_url.startswith(("http://", "https://")):
        # The value is not repeated: somebody may have put a key there.
        sentence = "is an address that does not begin with http:// or https://"
        raise RegistryError(f"{variable} {sentence}") if overridden else _Mistake(f"{name!r}: base_url {sentence}")
    return Provider(name=name, base_url=base_url.rstrip("/"), api_key_env=_text(name, entry, "api_key_env"))


def _model(model_id: str, entry: Mapping[str, Any], providers: Mapping[str, Provider]) -> Model:
    provider_name, colon, name = model_id.partition(":")
    if not colon or provider_name not in providers:
        raise _Mistake(f"{model_id!r} must be provider:name with a provider from [providers]")
    _nothing_else(f'[models."{model_id}"] ', entry, _OF_A_MODEL)
    continuation = entry.get("continuation", "retract")
    if continuation not in ("prefix", "retract"):
        raise _Mistake(f"{model_id!r}: continuation is {continuation!r}, expected prefix or retract")
    return Model(
        id=model_id,
        provider=providers[provider_name],
        upstream_name=_text(model_id, entry, "upstream_name", default=name),
        context_window=_tokens(model_id, entry, "context_window") or 8192,
        input=_price(model_id, entry, "input"),
        cached_input=_price(model_id, entry, "cached_input"),
        output=_price(model_id, entry, "output"),
        continuation=continuation,
        max_output_tokens=_tokens(model_id, entry, "max_output_tokens"),
        tools=_yes_or_no(model_id, entry, "tools"),
        tool_choice=_tool_choice(model_id, entry),
        parallel_tool_calls=_yes_or_no(model_id, entry, "parallel_tool_calls", default=True),
    )


def _tool_choice(model_id: str, entry: Mapping[str, Any]) -> frozenset[ToolChoice]:
    given = entry.get("tool_choice", list(TOOL_CHOICES))
    if not isinstance(given, list) or not TOOL_CHOICES.issuperset(given) or "auto" not in given:
        raise _Mistake(
            f"{model_id!r}: tool_choice is {given!r}, expected a list with auto and any of none, required, function"
        )
    return frozenset(given)


def _yes_or_no(model_id: str, entry: Mapping[str, Any], key: str, *, default: bool = False) -> bool:
    value = entry.get(key, default)
    if not isinstance(value, bool):
        raise _Mistake(f"{model_id!r}: {key} is {value!r}, expected true or false")
    return value


def _text(name: str, entry: Mapping[str, Any], key: str, *, default: str = "") -> str:
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise _Mistake(f"{name!r}: {key} is no text")
    return value


def _tokens(model_id: str, entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise _Mistake(f"{model_id!r}: {key} is {value!r}, expected a whole number of tokens")
    return value


def _price(model_id: str, entry: Mapping[str, Any], key: str) -> Decimal | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < float("inf"):
        raise _Mistake(f"{model_id!r}: {key} is {value!r}, expected USD per million tokens")
    return Decimal(str(value))


def cost_microusd(model: Model, usage: Usage) -> int | None:
    """What a call cost, in whole micro-dollars, half up; None where a price is unknown.

    A price of p USD per million tokens is p micro-dollars per token, so no conversion is needed.
    """
    if model.input is None or model.output is None:
        return None
    cached_price = model.input if model.cached_input is None else model.cached_input
    cached = min(usage.cached_tokens, usage.input_tokens)
    total = (usage.input_tokens - cached) * model.input + cached * cached_price + usage.output_tokens * model.output
    return int(total.quantize(Decimal(1), rounding=ROUND_HALF_UP))
