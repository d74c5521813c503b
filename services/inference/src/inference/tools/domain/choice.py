"""Which tools one model call is offered: what the agent has, the user may use, the message needs and the model can call."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from inference.tools.domain.spec import ToolSpec

MOST_TOOLS: Final = 64
"""More than this in one call and models choose badly; some providers refuse more than 128."""

_URL: Final = re.compile(r"https?://\S")


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a choice depends on. `asked_for`: the tools the message names, None where it leaves the choice to the agent.
    `texts`: what the user and earlier tools said in this thread, for `needs = "url"`."""

    model_has_tools: bool
    roles: frozenset[str] = frozenset()
    asked_for: frozenset[str] | None = None
    has_documents: bool = False
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The tools offered, in a stable order, and why each other one of the agent's was left out."""

    tools: tuple[ToolSpec, ...]
    left_out: dict[str, str]

    def __contains__(self, name: object) -> bool:
        return any(spec.name == name for spec in self.tools)


def choose_tools(available: Iterable[ToolSpec], patterns: Sequence[str], situation: Situation) -> Choice:
    """Choose among `available` by the agent's `patterns` (`time`, `mesh:orders_*`, `mcp:*`) and the situation.

    Of two tools with one name the one of the earlier pattern wins, so a service on the mesh cannot take the place of a
    built-in tool that the agent named first.
    """
    left_out: dict[str, str] = {}
    chosen: dict[str, ToolSpec] = {}
    specs = sorted(available, key=lambda spec: (spec.kind not in ("builtin", "function"), spec.kind, spec.name))
    for pattern in patterns:
        for spec in specs:
            if not fnmatchcase(spec.pattern_name, pattern) or spec in chosen.values():
                continue
            reason = _reason_against(spec, situation)
            if spec.name in chosen:
                reason = f"another tool of that name ({chosen[spec.name].kind}) was named first"
                left_out[spec.pattern_name] = reason
            elif reason:
                left_out[spec.name] = reason
            elif len(chosen) >= MOST_TOOLS:
                left_out[spec.name] = f"more than {MOST_TOOLS} tools"
            else:
                chosen[spec.name] = spec
    return Choice(tuple(chosen.values()), left_out)


def _reason_against(spec: ToolSpec, situation: Situation) -> str:
    if not situation.model_has_tools:
        return "the model cannot call tools"
    if spec.roles and not spec.roles & situation.roles:
        return f"only for the roles {', '.join(sorted(spec.roles))}"
    if situation.asked_for is not None and spec.name not in situation.asked_for:
        return "the message asked for other tools"
    if spec.needs == "documents" and not situation.has_documents:
        return "there are no documents to search"
    if spec.needs == "url" and not any(_URL.search(text) for text in situation.texts):
        return "no address was named"
    return ""
