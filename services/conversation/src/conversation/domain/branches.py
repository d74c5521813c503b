"""The branches of a thread. Messages form trees by their parents; a branch is a line through one, from the thread's beginning.

A branch begins where it departs from an older one: at a message that is not its parent's first child, or has no parent. Its id is
that message's, which never changes: what grows later grows at the branch's end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from contracts.codes import Code

from conversation.domain.entities import Thread
from conversation.domain.refusals import RefusedError

ACTIVE = "active"
"""In the place of a branch's id: the thread's."""


@dataclass(frozen=True, slots=True)
class Stub:
    """What of a message makes the tree."""

    id: str
    parent_id: str
    position: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One branch. `parent_message_id` is where it departs, `head` its last message, `length` counts from the beginning."""

    id: str
    label: str
    parent_message_id: str
    head: str
    length: int
    active: bool
    created_at: datetime


class Tree:
    """All messages of a thread by their parents."""

    def __init__(self, stubs: Iterable[Stub]) -> None:
        self._stubs = {stub.id: stub for stub in sorted(stubs, key=lambda stub: stub.position)}
        self._first_child: dict[str, str] = {}
        for stub in self._stubs.values():
            if stub.parent_id in self._stubs:
                self._first_child.setdefault(stub.parent_id, stub.id)

    def __contains__(self, message_id: object) -> bool:
        return message_id in self._stubs

    def branches(self, thread: Thread) -> list[Branch]:
        """Every branch, the oldest first."""
        active = self.branch_of(thread.head) if thread.head in self._stubs else ""
        return [self._branch(stub, thread, active) for stub in self._stubs.values() if self._begins(stub)]

    def branch(self, branch_id: str, thread: Thread) -> Branch:
        """The branch that a message is on; with `active` the thread's. Refuses what is no message of the thread."""
        wanted = thread.head if branch_id == ACTIVE else branch_id
        if wanted not in self._stubs:
            raise RefusedError(Code.MESSAGE_NOT_FOUND, "There is no such branch in this thread.")
        active = self.branch_of(thread.head) if thread.head in self._stubs else ""
        return self._branch(self._stubs[self.branch_of(wanted)], thread, active)

    def branch_of(self, message_id: str) -> str:
        """The id of the oldest branch that the message is on."""
        stub = self._stubs[message_id]
        while not self._begins(stub):
            stub = self._stubs[stub.parent_id]
        return stub.id

    def path(self, message_id: str) -> list[Stub]:
        """The messages from the thread's beginning to this one."""
        found: list[Stub] = []
        stub = self._stubs.get(message_id)
        while stub is not None:
            found.append(stub)
            stub = self._stubs.get(stub.parent_id)
        return found[::-1]

    def _begins(self, stub: Stub) -> bool:
        return self._first_child.get(stub.parent_id) != stub.id

    def _branch(self, first: Stub, thread: Thread, active: str) -> Branch:
        head = first.id
        while head in self._first_child:
            head = self._first_child[head]
        return Branch(
            id=first.id,
            label=thread.branch_labels.get(first.id, ""),
            parent_message_id=first.parent_id,
            head=head,
            length=len(self.path(head)),
            active=first.id == active,
            created_at=first.created_at,
        )
