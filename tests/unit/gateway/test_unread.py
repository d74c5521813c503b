"""The fold of a feed into what is unread equals a recount, however it is cut, for any feed."""

from collections import Counter

from contracts.facts import FeedEntry
from gateway.domain.unread import Unread
from hypothesis import given
from hypothesis import strategies as st

ME = "usr_me"
THREADS = ("thr_a", "thr_b", "thr_c")
KINDS = (
    "run.completed",
    "message.accepted",
    "thread.changed",
    "thread.read",
    "thread.deleted",
    "thread.member_removed",
)


@st.composite
def feeds(draw: st.DrawFn) -> list[tuple[int, FeedEntry]]:
    """Entries at rising stream sequences with holes, as a feed has."""
    found, sequence = [], 0
    for _ in range(draw(st.integers(0, 40))):
        sequence += draw(st.integers(1, 3))
        kind = draw(st.sampled_from(KINDS))
        entry = FeedEntry(id=str(sequence), type=kind, thread_id=draw(st.sampled_from(THREADS)), at="")
        if kind in ("run.completed", "message.accepted"):
            entry.unread = draw(st.booleans())
        elif kind == "thread.read":
            entry.up_to = draw(st.integers(0, sequence))
        elif kind == "thread.member_removed":
            entry.changes = {"member_id": draw(st.sampled_from((ME, "usr_other")))}
        found.append((sequence, entry))
    return found


def recount(feed: list[tuple[int, FeedEntry]]) -> dict[str, int]:
    """By definition: an unread entry counts unless something after it read or removed it."""
    counts: Counter[str] = Counter()
    for place, (sequence, entry) in enumerate(feed):
        after = [later for _, later in feed[place + 1 :] if later.thread_id == entry.thread_id]
        gone = any(
            (later.type == "thread.read" and later.up_to >= sequence)
            or later.type == "thread.deleted"
            or (later.type == "thread.member_removed" and (later.changes or {})["member_id"] == ME)
            for later in after
        )
        counts[entry.thread_id] += entry.unread and not gone
    return dict(+counts)


@given(feeds(), st.data())
def test_a_fold_is_a_recount_at_every_cut(feed: list[tuple[int, FeedEntry]], data: st.DataObject) -> None:
    unread, cut = Unread(ME), data.draw(st.integers(0, len(feed)))
    for sequence, entry in feed[:cut]:
        unread.apply(entry, sequence)
    assert unread.counts == recount(feed[:cut])
    # Another gateway's fold, and what was folded in before, given again.
    for sequence, entry in feed:
        unread.apply(entry, sequence)
    assert unread.counts == recount(feed)
    assert unread.up_to == (feed[-1][0] if feed else 0)
