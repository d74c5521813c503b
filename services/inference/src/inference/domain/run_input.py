"""What a run is made from, as conversation keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.client_tools import ClientTools
from contracts.parts import Part


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """One message of the conversation. `role` is system, user or assistant; `parts` are an assistant's that called tools."""

    role: str
    content: str
    parts: Sequence[Part] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInput:
    """The messages, oldest first, the last one to be answered, or an answer with a client's results, to be gone on from; for
    whom, with which roles. `agent` is empty for the default one. `recorded` is what the answer consists of that a shadow run
    repeats. `brought` are the client's own tools."""

    messages: Sequence[StoredMessage]
    agent: str = ""
    user_id: str = ""
    roles: frozenset[str] = frozenset()
    recorded: Sequence[Part] = ()
    brought: ClientTools | None = None

    @property
    def left_to_client(self) -> frozenset[str]:
        """The names of the tools whose calls nobody here carries out."""
        return frozenset() if self.brought is None else self.brought.names
