"""What a run is made from, as conversation keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.parts import Part


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of the conversation. `role` is system, user or assistant; `parts` are an assistant's that called tools."""

    role: str
    content: str
    parts: Sequence[Part] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInput:
    """The messages, oldest first, the last one to be answered; for whom, with which roles. `agent` is empty for the default
    one. `recorded` is what the answer consists of that a shadow run repeats."""

    messages: Sequence[StoredMessage]
    agent: str = ""
    user_id: str = ""
    roles: frozenset[str] = frozenset()
    recorded: Sequence[Part] = ()
