"""What services on the mesh offer as tools, read from their answers to `$SRV.INFO`. Convention: tools.adapters.mesh_tools."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from contracts.subjects import TOOLS

from inference.tools.domain.spec import DEFAULT_TIMEOUT, ToolSpec, ToolSpecError

SCHEMA: Final = "everthread.schema"
DESCRIPTION: Final = "everthread.description"
SIDE_EFFECTS: Final = "everthread.side-effects"
APPROVAL: Final = "everthread.approval"
TIMEOUT: Final = "everthread.timeout"
RETRIES: Final = "everthread.retries"
ROLES: Final = "everthread.roles"

_SUBJECT: Final = re.compile(re.escape(TOOLS) + r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){1,6}")
_LARGEST_SCHEMA: Final = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshOffer:
    """One tool of one service, however many instances answer for it. `subject` is where it is called."""

    spec: ToolSpec
    subject: str
    service: str
    version: tuple[int, ...]


def read_offers(answers: Iterable[bytes]) -> tuple[list[MeshOffer], list[str]]:
    """The tools that the answers name, and a sentence for each that cannot be used.

    Instances of one service count once; where they differ (a rolling update), the newest version's declaration is taken.
    Two services with a tool of the same name: neither can be told apart by the model, so the first service by name keeps it.
    """
    offers: dict[str, MeshOffer] = {}
    problems: dict[str, None] = {}
    for info in sorted(_infos(answers, problems), key=lambda info: str(info.get("name"))):
        for endpoint in info.get("endpoints") or ():
            metadata = endpoint.get("metadata") if isinstance(endpoint, Mapping) else None
            if not isinstance(metadata, Mapping) or SCHEMA not in metadata:
                continue
            try:
                offer = _offer(info, endpoint, metadata)
            except (ToolSpecError, ValueError) as error:
                problems[f"{info.get('name')}: {error}"] = None
                continue
            known = offers.get(offer.spec.name)
            if known is None or (known.service == offer.service and offer.version > known.version):
                offers[offer.spec.name] = offer
            elif known.service != offer.service:
                problems[f"{offer.service}: the tool {offer.spec.name} is offered by {known.service} already"] = None
    return list(offers.values()), list(problems)


def _infos(answers: Iterable[bytes], problems: dict[str, None]) -> list[Mapping[str, Any]]:
    found = []
    for answer in answers:
        try:
            info = json.loads(answer)
        except ValueError:
            problems["an answer to $SRV.INFO is no JSON"] = None
            continue
        if isinstance(info, Mapping):
            found.append(info)
    return found


def _offer(info: Mapping[str, Any], endpoint: Mapping[str, Any], metadata: Mapping[str, str]) -> MeshOffer:
    name, subject = str(endpoint.get("name", "")), str(endpoint.get("subject", ""))
    if _SUBJECT.fullmatch(subject) is None:
        raise ToolSpecError(f"tool {name}: its subject is {subject[:100]!r}, expected {TOOLS}<service>.<tool>")
    text = metadata[SCHEMA]
    if len(text) > _LARGEST_SCHEMA:
        raise ToolSpecError(f"tool {name}: its schema has {len(text)} characters, at most {_LARGEST_SCHEMA} are taken")
    schema = json.loads(text)
    if not isinstance(schema, dict):
        raise ToolSpecError(f"tool {name}: its schema is no JSON object")
    spec = ToolSpec(
        name=name,
        description=metadata.get(DESCRIPTION) or str(info.get("description") or ""),
        input_schema=schema,
        kind="mesh",
        # What a service does not say is taken for the careful answer.
        side_effects=metadata.get(SIDE_EFFECTS, "true") != "false",
        approval=metadata.get(APPROVAL) == "true",
        timeout=float(metadata.get(TIMEOUT, DEFAULT_TIMEOUT)),
        retries=int(metadata.get(RETRIES, 0)),
        roles=frozenset(filter(None, metadata.get(ROLES, "").split(","))),
    )
    return MeshOffer(spec=spec, subject=subject, service=str(info.get("name")), version=_version(info.get("version")))


def _version(value: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(value))[:3])
