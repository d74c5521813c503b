"""The flag `path`: which path answers a message. What it may decide, on what, and its definition when nobody wrote one."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

FLAG: Final = "path"
LEGACY: Final = "legacy_sync"
DURABLE: Final = "durable_event"
SHADOW: Final = "shadow"
VARIANTS: Final = (LEGACY, DURABLE, SHADOW)
PATHS: Final = (LEGACY, DURABLE)
"""What a run can be on. `shadow` is served by legacy_sync, and repeated by durable_event unseen."""
SALT: Final = "path-1:"
"""Goes into the hash before the user's id; another one deals all users anew."""

Definition = Mapping[str, Any]
"""A flag definition in flagd's format, as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathContext:
    """Who asks for what. `wish` is the path that the user would like, empty without one; `model` and `agent` are empty where
    the definition does not ask for them."""

    user_id: str
    role: str = "user"
    plan: str = ""
    test_account: bool = False
    wish: str = ""
    model: str = ""
    agent: str = ""

    def attributes(self) -> dict[str, str | bool]:
        """As targeting rules name them, beside `targetingKey`, the user's id."""
        return {
            "role": self.role,
            "plan": self.plan,
            "test_account": self.test_account,
            "wish": self.wish,
            "model": self.model,
            "agent": self.agent,
            "tools": bool(self.agent),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDecision:
    """What the flag said. `reason` is OpenFeature's; `revision` is the definition's, 0 for the built-in one."""

    variant: str
    reason: str
    revision: int

    @property
    def path(self) -> str:
        """The path that answers the user."""
        return served_by(self.variant)


def served_by(variant: str) -> str:
    """The path that answers the user under a variant."""
    return LEGACY if variant == SHADOW else variant


def standard_definition(share: int, *, salt: str = SALT) -> dict[str, Any]:
    """`share` percent of the users, always the same ones, on the durable path. Test accounts go first, and whoever wishes
    for a path gets it. The 10 % are among the 30 %: a user's place in the hash does not move, only the border does."""
    by_user = {"cat": [salt, {"var": "targetingKey"}]}
    return {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {
            FLAG: {
                "state": "ENABLED",
                "variants": {name: name for name in VARIANTS},
                "defaultVariant": LEGACY,
                "targeting": {
                    "if": [
                        {"in": [{"var": "wish"}, list(PATHS)]},
                        {"var": "wish"},
                        {"var": "test_account"},
                        DURABLE,
                        {"fractional": [by_user, [DURABLE, share], [LEGACY, 100 - share]]},
                    ]
                },
            }
        },
    }


def shadow_share_of(definition: Definition) -> int:
    """The percentage of the users whose answers legacy_sync gives and durable_event repeats; 0 where none decides."""
    flag = definition["flags"][FLAG]
    found = _splits(flag.get("targeting"))
    return int(found[0].get(SHADOW, 0)) if flag.get("state") != "DISABLED" and len(found) == 1 else 0


def share_of(definition: Definition) -> int | None:
    """The percentage on the durable path; 0 where the flag is off, None where no percentage decides."""
    flag = definition["flags"][FLAG]
    if flag.get("state") == "DISABLED":
        return 0
    found = _splits(flag.get("targeting"))
    return int(found[0][DURABLE]) if len(found) == 1 and DURABLE in found[0] else None


def with_share(definition: Definition, share: int) -> dict[str, Any]:
    """The definition with another percentage, everything else as it was; the standard one where it has no single place for
    it. A flag that was off is on again. `share` is from 0 to 100. Shadows keep their percentage as far as there is room."""
    return _with_shares(definition, share, shadow_share_of(definition))


def with_shadow(definition: Definition, shadow: int) -> dict[str, Any]:
    """The definition with another percentage of shadows, of those whom durable_event does not serve. A flag that was off stays
    off. Raises ValueError where no single percentage decides."""
    share = share_of(definition)
    if share is None:
        raise ValueError(
            "no single percentage decides, so there is no place for another one; change the definition itself"
        )
    changed = _with_shares(definition, share, shadow)
    changed["flags"][FLAG]["state"] = definition["flags"][FLAG].get("state", "ENABLED")
    return changed


def _with_shares(definition: Definition, share: int, shadow: int) -> dict[str, Any]:
    for percent in (share, shadow):
        if not 0 <= percent <= 100:
            raise ValueError(f"a share is 0 to 100 percent, not {percent}")
    shadow = min(shadow, 100 - share)
    changed: dict[str, Any] = deepcopy(dict(definition))
    flag = changed["flags"][FLAG]
    flag["state"] = "ENABLED"
    arguments = _fractionals(flag.get("targeting"))
    if len(arguments) != 1 or not {DURABLE, LEGACY} <= {pair[0] for pair in _pairs(arguments[0])} <= set(VARIANTS):
        changed = standard_definition(share)
        arguments = _fractionals(changed["flags"][FLAG]["targeting"])
    # The durable path first, so that its border alone moves and nobody who had it loses it; shadows are next to it.
    by_user = [argument for argument in arguments[0] if not isinstance(argument, list)]
    shadows = [[SHADOW, shadow]] if shadow else []
    arguments[0][:] = [*by_user, [DURABLE, share], *shadows, [LEGACY, 100 - share - shadow]]
    return changed


def switched_off(definition: Definition) -> dict[str, Any]:
    """The definition with its flag off: everybody is answered by legacy_sync, whatever the rules say."""
    changed: dict[str, Any] = deepcopy(dict(definition))
    changed["flags"][FLAG]["state"] = "DISABLED"
    return changed


def variables_of(definition: Definition) -> frozenset[str]:
    """The names of the context that its rules look at."""
    found: set[str] = set()
    _collect_variables([definition["flags"][FLAG].get("targeting"), definition.get("$evaluators")], found)
    return frozenset(found)


def _collect_variables(rule: Any, found: set[str]) -> None:
    if isinstance(rule, Mapping):
        for operator, arguments in rule.items():
            if operator == "var":
                name = arguments[0] if isinstance(arguments, list) and arguments else arguments
                found.add(str(name).partition(".")[0])
            _collect_variables(arguments, found)
    elif isinstance(rule, list):
        for item in rule:
            _collect_variables(item, found)


def _fractionals(rule: Any) -> list[list[Any]]:
    """The arguments of every `fractional` in a rule."""
    if isinstance(rule, Mapping):
        inner = [found for arguments in rule.values() for found in _fractionals(arguments)]
        return [*([rule["fractional"]] if isinstance(rule.get("fractional"), list) else []), *inner]
    if isinstance(rule, list):
        return [found for item in rule for found in _fractionals(item)]
    return []


def _pairs(arguments: list[Any]) -> list[list[Any]]:
    return [item for item in arguments if isinstance(item, list)]


def _splits(rule: Any) -> list[dict[str, int]]:
    return [{pair[0]: pair[1] for pair in _pairs(arguments)} for arguments in _fractionals(rule)]
