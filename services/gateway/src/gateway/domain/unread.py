"""How much of each thread a user has not read: a pure fold of the user's feed, which also holds what was read.

There is no counter anywhere that could drift: what is unread is what the feed says, whoever folds it, and as often as wanted.
"""

from dataclasses import dataclass, field

from contracts.facts import FeedEntry


@dataclass(slots=True)
class Unread:
    """The feed folded up to and including the stream sequence `up_to`. `entries` holds, by thread, the stream sequences of
    what is unread, in order; a thread with nothing unread is not in it."""

    user_id: str
    up_to: int = 0
    entries: dict[str, list[int]] = field(default_factory=dict)

    def apply(self, entry: FeedEntry, stream_sequence: int) -> None:
        """Fold the next entry in; one that was folded in before changes nothing."""
        if stream_sequence <= self.up_to:
            return
        self.up_to = stream_sequence
        if entry.unread:
            self.entries.setdefault(entry.thread_id, []).append(stream_sequence)
        elif entry.type == "thread.read":
            kept = [sequence for sequence in self.entries.get(entry.thread_id, []) if sequence > entry.up_to]
            self._keep(entry.thread_id, kept)
        elif entry.type == "thread.deleted" or (
            entry.type == "thread.member_removed" and (entry.changes or {}).get("member_id") == self.user_id
        ):
            self._keep(entry.thread_id, [])

    @property
    def counts(self) -> dict[str, int]:
        """By thread, the one with the oldest unread entry first."""
        ordered = sorted(self.entries.items(), key=lambda item: item[1][0])
        return {thread_id: len(sequences) for thread_id, sequences in ordered}

    def _keep(self, thread_id: str, sequences: list[int]) -> None:
        if sequences:
            self.entries[thread_id] = sequences
        else:
            self.entries.pop(thread_id, None)
