"""From each fact to its feed entry."""

from typing import Any

import pytest
from contracts.facts import (
    Fact,
    FeedEntry,
    MessageAccepted,
    RunEnded,
    RunWaiting,
    ThreadCreated,
    ThreadDeleted,
    ThreadMemberChanged,
    ThreadMemberRemoved,
    ThreadShared,
    ThreadUpdated,
)
from contracts.ids import FACT, MESSAGE, RUN, THREAD, USER, new_id
from notifier.domain.feed import UnknownStatusError, entry_of

FACT_ID, THREAD_ID, USER_ID = new_id(FACT), new_id(THREAD), new_id(USER)
RUN_ID, QUESTION, ANSWER = new_id(RUN), new_id(MESSAGE), new_id(MESSAGE)
AT = "2026-11-21T03:17:47.123Z"


def ended(status: str, code: str | None = None, preview: str = "") -> RunEnded:
    return RunEnded(
        id=FACT_ID,
        thread_id=THREAD_ID,
        user_id=USER_ID,
        at=AT,
        run_id=RUN_ID,
        message_id=ANSWER,
        status=status,
        code=code,
        preview=preview,
    )


def entry(kind: str, **more: object) -> FeedEntry:
    return FeedEntry(id=FACT_ID, type=kind, thread_id=THREAD_ID, at=AT, **more)  # type: ignore[arg-type]  # test's short form


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (
            ThreadCreated(id=FACT_ID, thread_id=THREAD_ID, user_id=USER_ID, at=AT, title="Trip"),
            entry("thread.changed", changes={"title": "Trip"}),
        ),
        (
            ThreadUpdated(id=FACT_ID, thread_id=THREAD_ID, user_id=USER_ID, at=AT, changes={"pinned": True}),
            entry("thread.changed", changes={"pinned": True}),
        ),
        (ThreadDeleted(id=FACT_ID, thread_id=THREAD_ID, user_id=USER_ID, at=AT), entry("thread.deleted")),
        (
            MessageAccepted(
                id=FACT_ID,
                thread_id=THREAD_ID,
                user_id=USER_ID,
                at=AT,
                message_id=QUESTION,
                assistant_message_id=ANSWER,
                run_id=RUN_ID,
            ),
            entry("message.accepted", run_id=RUN_ID, message_id=QUESTION),
        ),
        (
            MessageAccepted(
                id=FACT_ID,
                thread_id=THREAD_ID,
                user_id=USER_ID,
                at=AT,
                message_id=QUESTION,
                assistant_message_id=ANSWER,
                run_id=RUN_ID,
                run_at="2026-11-22T07:00:00.000Z",
            ),
            entry("message.accepted", run_id=RUN_ID, message_id=QUESTION, run_at="2026-11-22T07:00:00.000Z"),
        ),
        (ended("complete", preview="It is"), entry("run.completed", run_id=RUN_ID, message_id=ANSWER, preview="It is")),
        (ended("error", "deadline"), entry("run.failed", run_id=RUN_ID, message_id=ANSWER, code="deadline")),
        (ended("cancelled"), entry("run.cancelled", run_id=RUN_ID, message_id=ANSWER)),
    ],
    ids=lambda value: getattr(value, "type", None) or type(value).__name__,
)
def test_entry_of(fact: Fact, expected: FeedEntry) -> None:
    assert entry_of(fact, USER_ID, watching=True) == expected


def test_an_end_that_a_newer_version_invented() -> None:
    with pytest.raises(UnknownStatusError, match="paused"):
        entry_of(ended("paused"), USER_ID, watching=False)


OTHER = new_id(USER)
HEAD: dict[str, Any] = {
    "id": FACT_ID,
    "thread_id": THREAD_ID,
    "user_id": USER_ID,
    "at": AT,
    "audience": [USER_ID, OTHER],
}
WAIT: dict[str, Any] = {"run_id": RUN_ID, "message_id": ANSWER, "wait_id": "w1"}


@pytest.mark.parametrize(
    ("fact", "raises_for"),
    [
        (ended("complete"), {USER_ID, OTHER}),
        (ended("error", "deadline"), {USER_ID, OTHER}),
        (ended("cancelled"), set()),
        (RunWaiting(**HEAD, **WAIT, reason="approval"), {USER_ID, OTHER}),
        (RunWaiting(**HEAD, **WAIT, reason="timer"), set()),
        (ThreadShared(**HEAD, member_id=OTHER, role="viewer", by=USER_ID), {OTHER}),
        (ThreadMemberChanged(**HEAD, member_id=OTHER, role="editor", by=USER_ID), set()),
        (ThreadMemberRemoved(**HEAD, member_id=OTHER, by=USER_ID), set()),
        (ThreadUpdated(**HEAD, changes={"title": "New"}), set()),
        (
            MessageAccepted(**HEAD, message_id=QUESTION, assistant_message_id=ANSWER, run_id=RUN_ID, by=OTHER),
            {USER_ID},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whose_unread_count_a_fact_raises(fact: Fact, raises_for: set[str]) -> None:
    for user in (USER_ID, OTHER):
        assert entry_of(fact, user, watching=False).unread is (user in raises_for)
        assert not entry_of(fact, user, watching=True).unread


def test_a_wait_says_what_for() -> None:
    fact = RunWaiting(**HEAD, **WAIT, reason="input", prompt="Which city?", expires_at="2026-11-22T00:00:00.000Z")
    told = entry_of(fact, OTHER, watching=False)
    assert (told.type, told.prompt, told.reason, told.wait_id) == ("run.waiting", "Which city?", "input", "w1")
    assert told.expires_at == "2026-11-22T00:00:00.000Z"
