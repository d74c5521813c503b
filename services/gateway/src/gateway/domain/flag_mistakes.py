"""Reading a definition of the flag `path`: every mistake is told with its place, so that the one who wrote it finds it.

The format is flagd's (https://flagd.dev/reference/flag-definitions). What flagd would let pass and then ignore at every
evaluation (an operator with a slip of the pen, weights that do not add up to 100) is refused here.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from gateway.domain.path_flag import DURABLE, FLAG, VARIANTS, Definition

MOST_BYTES: Final = 64 * 1024
MOST_TOLD: Final = 5
OPERATORS: Final = frozenset(
    [
        "var",
        "missing",
        "missing_some",
        "if",
        "?:",
        "==",
        "===",
        "!=",
        "!==",
        "!",
        "!!",
        "or",
        "and",
        ">",
        ">=",
        "<",
        "<=",
        "max",
        "min",
        "+",
        "-",
        "*",
        "/",
        "%",
        "map",
        "reduce",
        "filter",
        "all",
        "none",
        "some",
        "merge",
        "in",
        "cat",
        "substr",
        "fractional",
        "starts_with",
        "ends_with",
        "sem_ver",
        "$ref",
    ]
)
VARIABLES: Final = frozenset(
    ["targetingKey", "role", "plan", "test_account", "wish", "model", "agent", "tools", "$flagd"]
)
_SET_KEYS: Final = ("$schema", "flags", "$evaluators", "metadata")
_FLAG_KEYS: Final = ("state", "variants", "defaultVariant", "targeting", "metadata")
_STATES: Final = ("ENABLED", "DISABLED")


@dataclass(frozen=True, slots=True)
class Mistake:
    """`place` is a line and column, or a JSON pointer (RFC 6901)."""

    place: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.place or '/'}: {self.sentence}"


class DefinitionError(ValueError):
    """The text is no usable definition; nothing of it is in force."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        told = "; ".join(str(mistake) for mistake in mistakes[:MOST_TOLD])
        more = len(mistakes) - MOST_TOLD
        super().__init__(told + (f"; and {more} more" if more > 0 else ""))
        self.mistakes = tuple(mistakes)


def read_definition(data: bytes) -> Definition:
    """The definition in `data`; raises DefinitionError."""
    if len(data) > MOST_BYTES:
        raise DefinitionError([Mistake("", f"the definition is larger than {MOST_BYTES} bytes")])
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeated_keys)
    except UnicodeDecodeError as error:
        raise DefinitionError([Mistake(f"byte {error.start}", "this is not UTF-8")]) from None
    except json.JSONDecodeError as error:
        raise DefinitionError([Mistake(f"line {error.lineno}, column {error.colno}", error.msg)]) from None
    except RecursionError:
        raise DefinitionError([Mistake("", "it is nested too deeply")]) from None
    except _RepeatedKeyError as error:
        raise DefinitionError([Mistake("", f"the key {error.key!r} stands twice in one object")]) from None
    mistakes = list(_of_set(document))
    if mistakes:
        raise DefinitionError(mistakes)
    definition: Definition = document
    return definition


class _RepeatedKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RepeatedKeyError(key)
        found[key] = value
    return found


def _of_set(document: Any) -> Iterator[Mistake]:
    if not isinstance(document, dict):
        yield Mistake("", "a definition is a JSON object with `flags`")
        return
    yield from _unknown_keys("", document, _SET_KEYS)
    flags = document.get("flags")
    if not isinstance(flags, dict) or FLAG not in flags:
        yield Mistake("/flags", f"there is no flag {FLAG!r}")
        return
    for name in flags:
        if name != FLAG:
            yield Mistake(_at("/flags", name), f"only the flag {FLAG!r} is kept here")
    yield from _of_metadata("/metadata", document.get("metadata", {}))
    evaluators = document.get("$evaluators", {})
    if not isinstance(evaluators, dict):
        yield Mistake("/$evaluators", "these are an object of rules by name")
        evaluators = {}
    known = frozenset(evaluators)
    for name, rule in evaluators.items():
        yield from _of_rule(_at("/$evaluators", name), rule, frozenset(VARIANTS), known)
    yield from _of_flag(f"/flags/{FLAG}", flags[FLAG], known)


def _of_flag(at: str, flag: Any, evaluators: frozenset[str]) -> Iterator[Mistake]:
    if not isinstance(flag, dict):
        yield Mistake(at, "a flag is an object")
        return
    yield from _unknown_keys(at, flag, _FLAG_KEYS)
    if flag.get("state") not in _STATES:
        yield Mistake(f"{at}/state", f"the state is {_shown(flag.get('state'))}; it must be one of {_list(_STATES)}")
    variants = flag.get("variants")
    if not isinstance(variants, dict) or not variants:
        yield Mistake(f"{at}/variants", f"the variants are missing; there may be {_list(VARIANTS)}")
        return
    for name, value in variants.items():
        if name not in VARIANTS:
            yield Mistake(_at(f"{at}/variants", name), _unknown("variant", name, VARIANTS))
        elif value != name:
            yield Mistake(_at(f"{at}/variants", name), f"the value of a variant is its name, not {_shown(value)}")
    named = frozenset(variants)
    default = flag.get("defaultVariant")
    if default is not None and default not in variants:
        yield Mistake(f"{at}/defaultVariant", _unknown("variant", default, named))
    yield from _of_metadata(f"{at}/metadata", flag.get("metadata", {}))
    targeting = flag.get("targeting", {})
    if not isinstance(targeting, dict):
        yield Mistake(f"{at}/targeting", "the targeting is an object, a rule")
    elif targeting:
        yield from _of_rule(f"{at}/targeting", targeting, named, evaluators)
        yield from _of_result(f"{at}/targeting", targeting, named)


def _of_metadata(at: str, metadata: Any) -> Iterator[Mistake]:
    if not isinstance(metadata, dict):
        yield Mistake(at, "metadata is an object")
        return
    for name, value in metadata.items():
        if not isinstance(value, str | int | float | bool):
            yield Mistake(_at(at, name), "metadata holds texts, numbers and truth values only")


def _of_result(at: str, rule: Any, variants: frozenset[str]) -> Iterator[Mistake]:
    """Of a rule that yields a variant: only what is known to come out of it, as an `if` may be decided by any rule."""
    if isinstance(rule, str) and rule not in variants:
        yield Mistake(at, _unknown("variant", rule, variants))
    elif isinstance(rule, bool | int | float | list):
        yield Mistake(at, f"a variant must stand here, not {_shown(rule)}")
    elif isinstance(rule, dict) and len(rule) == 1:
        operator, arguments = next(iter(rule.items()))
        if operator in ("if", "?:") and isinstance(arguments, list):
            for index, argument in enumerate(arguments):
                if index % 2 == 1 or index == len(arguments) - 1:
                    yield from _of_result(_at(f"{at}/{operator}", index), argument, variants)


def _of_rule(at: str, rule: Any, variants: frozenset[str], evaluators: frozenset[str]) -> Iterator[Mistake]:
    if isinstance(rule, list):
        for index, item in enumerate(rule):
            yield from _of_rule(_at(at, index), item, variants, evaluators)
        return
    if not isinstance(rule, dict):
        return
    if len(rule) != 1:
        yield Mistake(at, f"a rule has one operator, not {len(rule)} ({_list(rule)})")
        return
    operator, arguments = next(iter(rule.items()))
    inside = _at(at, operator)
    if operator not in OPERATORS:
        yield Mistake(inside, _unknown("operator", operator, OPERATORS))
    elif operator == "var":
        yield from _of_variable(inside, arguments)
    elif operator == "fractional":
        yield from _of_split(inside, arguments, variants, evaluators)
    elif operator == "$ref":
        if arguments not in evaluators:
            yield Mistake(inside, _unknown("evaluator", arguments, evaluators))
    else:
        yield from _of_rule(inside, arguments, variants, evaluators)


def _of_variable(at: str, arguments: Any) -> Iterator[Mistake]:
    name = arguments[0] if isinstance(arguments, list) and arguments else arguments
    if isinstance(name, str) and name and name.partition(".")[0] not in VARIABLES:
        yield Mistake(at, _unknown("name", name, VARIABLES))


def _of_split(at: str, arguments: Any, variants: frozenset[str], evaluators: frozenset[str]) -> Iterator[Mistake]:
    if not isinstance(arguments, list) or not arguments:
        yield Mistake(at, "a split needs its shares: [variant, weight], …")
        return
    shares = list(enumerate(arguments))
    if not isinstance(arguments[0], list):
        yield from _of_rule(f"{at}/0", arguments[0], variants, evaluators)
        shares = shares[1:]
    total, names = 0, []
    for index, share in shares:
        here = _at(at, index)
        if not isinstance(share, list) or len(share) != 2:
            yield Mistake(here, 'a share is a pair of variant and weight, such as ["durable_event", 25]')
            return
        name, weight = share
        if name not in variants:
            yield Mistake(f"{here}/0", _unknown("variant", name, variants))
        elif name in names:
            yield Mistake(f"{here}/0", f"the variant {name!r} has a share already")
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            yield Mistake(f"{here}/1", f"a weight is a whole number from 0, not {_shown(weight)}")
            return
        names.append(name)
        total += weight
    if total != 100:
        yield Mistake(at, f"the weights add up to {total}, not to 100")
    if DURABLE in names[1:]:
        yield Mistake(
            at, f"{DURABLE} must be the first share: else a larger one would move users who had it away from it"
        )


def _unknown_keys(at: str, found: Mapping[str, Any], known: tuple[str, ...]) -> Iterator[Mistake]:
    for key in found:
        if key not in known:
            yield Mistake(_at(at, key), _unknown("key", key, known))


def _unknown(what: str, name: Any, known: Any) -> str:
    near = get_close_matches(str(name), [str(item) for item in known], n=1, cutoff=0.6)
    remedy = f"the nearest one is {near[0]!r}" if near else f"known are {_list(sorted(known)) or 'none'}"
    return f"the {what} {_shown(name)} is not known; {remedy}"


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _list(names: Any) -> str:
    return ", ".join(str(name) for name in names)


def _at(pointer: str, step: str | int) -> str:
    return f"{pointer}/{str(step).replace('~', '~0').replace('/', '~1')}"
