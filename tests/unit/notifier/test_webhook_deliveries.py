"""One attempt after the other: what is recorded, when it is tried again, when it is given up, and what is never sent twice."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from bus.errors import RevisionConflictError, StreamFullError, UnavailableError
from contracts.facts import (
    Fact,
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
from contracts.ids import FACT, MESSAGE, RUN, THREAD, USER, WEBHOOK, new_id
from contracts.subjects import webhook_result_subject
from contracts.times import rfc3339
from contracts.topology import WEBHOOK_RESULTS, WEBHOOK_SHARE, WEBHOOK_WORK
from contracts.webhooks import EVENT_TYPES, MOST_WEBHOOKS, Secret, Webhook, WebhookResult, WebhookWork, encode
from notifier.adapters.bus_deliveries import KEPT, LENT
from notifier.adapters.webhook_sender import retry_after_of, signatures_of
from notifier.domain.retries import STANDARD_WAITS, wait_after
from notifier.domain.shares import Share
from notifier.domain.webhook_events import work_of
from notifier.handlers.deliver_webhook import Attempt, deliver_webhook
from notifier.handlers.queue_webhooks import NO_ROOM, Queued, queue_webhooks
from notifier.ports import Reply
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

NOW = datetime.now(UTC)
HOOK = Webhook(
    id=new_id(WEBHOOK), url="https://x.example/", events=list(EVENT_TYPES), secrets=[Secret(value="whsec_YWJj")]
)
WAITS = (1.0, 10.0)
CANARY = "the text of somebody"


class World:
    """All ports of the handlers, in memory."""

    def __init__(self, webhook: Webhook = HOOK) -> None:
        self.webhook: Webhook | None = webhook
        self.results: dict[str, tuple[WebhookResult, int]] = {}
        self.queued: dict[str, WebhookWork] = {}
        self.replies: list[Reply] = []
        self.sent: list[str] = []
        self.now = NOW
        self.unrecorded = False
        self.unpaused = False
        self.room = True
        self.full = False

    async def hear(self, fact: Fact) -> Queued:
        return await queue_webhooks(fact, self, self, lambda: self.now)

    async def has_room(self, webhook_id: str) -> bool:
        return self.room

    async def is_queued(self, webhook_id: str, event_id: str) -> bool:
        return event_id in self.queued

    async def wanting(self, event_type: str) -> Sequence[Webhook]:
        return [self.webhook] if self.webhook is not None and event_type in self.webhook.events else []

    def get(self, webhook_id: str) -> Webhook | None:
        return self.webhook

    async def pause(self, webhook: Webhook, reason: str, now: datetime) -> bool:
        if self.unpaused:
            raise UnavailableError("killed between recording and pausing")
        self.webhook = msgspec.structs.replace(webhook, enabled=False, disabled_reason=reason, changed_at=rfc3339(now))
        return True

    async def queue(self, work: WebhookWork) -> bool:
        if self.full:
            raise StreamFullError("WEBHOOKS is full")
        fresh = work.event_id not in self.queued
        self.queued.setdefault(work.event_id, work)
        return fresh

    async def result(self, webhook_id: str, event_id: str) -> tuple[WebhookResult | None, int]:
        return self.results.get(event_id, (None, 0))

    async def record(self, result: WebhookResult, *, expected: int) -> None:
        if self.unrecorded:
            raise UnavailableError("killed between sending and recording")
        if self.results.get(result.event_id, (None, 0))[1] != expected:
            raise RevisionConflictError("somebody else")
        self.results[result.event_id] = result, expected + 1

    async def send(self, webhook: Webhook, work: WebhookWork, now: datetime) -> Reply:
        self.sent.append(work.event_id)
        return self.replies.pop(0) if self.replies else Reply(200, "ok")

    async def attempt(self, work: WebhookWork) -> Attempt:
        return await deliver_webhook(work, self, self, self, waits=WAITS, now=lambda: self.now, chance=lambda: 0.5)


def ended(**more: Any) -> RunEnded:
    return RunEnded(
        id=new_id(FACT),
        thread_id=new_id(THREAD),
        user_id=new_id(USER),
        at=rfc3339(NOW),
        run_id=new_id(RUN),
        message_id=new_id(MESSAGE),
        status="complete",
        preview=CANARY,
        **more,
    )


def work(**more: Any) -> WebhookWork:
    return msgspec.structs.replace(work_of(ended(), HOOK.id), **more)


async def test_delivered_once_recorded_and_not_sent_again() -> None:
    world, due = World(), work()
    assert (await world.attempt(due)).outcome == "delivered"
    assert await world.attempt(due) == Attempt("repeated")
    assert world.sent == [due.event_id]
    result = world.results[due.event_id][0]
    assert (result.status, result.attempts, result.response, result.error, result.work) == (
        "delivered",
        1,
        200,
        "",
        None,
    )


async def test_failing_is_tried_again_with_growing_waits_and_then_dead_with_its_body() -> None:
    world, due = World(), work()
    world.replies = [Reply(500, "broken"), Reply(0, "nobody"), Reply(302, "elsewhere")]
    waits = []
    for _ in range(3):
        attempt = await world.attempt(due)
        waits.append(attempt.again)
        world.now += timedelta(seconds=attempt.again or 0)
    assert waits == [1.0, 10.0, None]
    result = world.results[due.event_id][0]
    assert (result.status, result.attempts, result.error, result.work) == ("dead", 3, "elsewhere", due)
    assert (await world.attempt(due)).outcome == "repeated"
    again = msgspec.structs.replace(due, generation=1)
    assert (await world.attempt(again)).outcome == "delivered", "replayed by a person"
    assert world.results[due.event_id][0].attempts == 1
    assert world.sent == [due.event_id] * 4


async def test_killed_between_sending_and_recording_it_is_sent_again_under_the_same_id() -> None:
    world, due = World(), work()
    world.unrecorded = True
    with pytest.raises(UnavailableError):
        await world.attempt(due)
    world.unrecorded = False
    assert (await world.attempt(due)).outcome == "delivered"
    assert world.sent == [due.event_id] * 2


async def test_a_refused_address_and_one_that_is_gone_are_dead_at_once() -> None:
    for reply in (Reply(0, "private", refused=True), Reply(410, "gone")):
        world, due = World(), work()
        world.replies = [reply]
        assert (await world.attempt(due)).outcome == "dead"


async def test_a_receiver_that_is_gone_pauses_its_webhook_wherever_the_notifier_is_killed() -> None:
    world, due = World(), work()
    world.replies = [Reply(410, "gone"), Reply(410, "gone")]
    world.unpaused = True
    with pytest.raises(UnavailableError):
        await world.attempt(due)
    assert world.results[due.event_id][0].status == "dead"
    world.unpaused = False
    assert await world.attempt(due) == Attempt("repeated", paused=True)
    assert world.webhook is not None
    assert (world.webhook.enabled, world.webhook.disabled_reason) == (
        False,
        f"The receiver answered 410, gone for good, at {rfc3339(NOW)}.",
    )
    assert (await world.attempt(work())).outcome == "held"
    # Enabled again after that: what is delivered again of before pauses nothing, what is gone anew does.
    later = rfc3339(NOW + timedelta(seconds=1))
    world.webhook = msgspec.structs.replace(HOOK, changed_at=later)
    assert await world.attempt(due) == Attempt("repeated")
    assert world.webhook.enabled
    assert (await world.attempt(work())).paused
    assert len(world.sent) == 2


async def test_deleted_disabled_and_not_yet_heard_of() -> None:
    world, due = World(), work()
    for changed, outcome in (
        (msgspec.structs.replace(HOOK, deleted=True), "dropped"),
        (msgspec.structs.replace(HOOK, enabled=False), "held"),
        (None, "held"),
    ):
        world.webhook = changed
        assert (await world.attempt(due)).outcome == outcome
    assert world.sent == []


@pytest.mark.parametrize("full", [False, True], ids=["its share is used up", "the stream is full"])
async def test_what_there_is_no_room_for_is_dead_with_its_body_and_can_be_sent_again(full: bool) -> None:
    world, fact = World(), ended()
    before = ended()
    await world.hear(before)
    world.room, world.full = full, full
    assert await world.hear(fact) == Queued(dead=1)
    # The facts come again: what was queued stays so, and what was given up is not given up twice.
    assert await world.hear(before) == Queued()
    assert await world.hear(fact) == Queued()
    (result, _) = world.results[fact.id]
    assert set(world.results) == {fact.id}
    assert (result.status, result.attempts, result.error) == ("dead", 0, NO_ROOM)
    assert result.work is not None
    again = msgspec.structs.replace(result.work, generation=1)
    assert (await world.attempt(again)).outcome == "delivered"
    assert (await world.attempt(world.queued[before.id])).outcome == "delivered"


def test_a_queue_is_looked_at_the_more_often_the_fuller_it_is() -> None:
    share = Share(100)
    assert share.wants_look(0.0)
    share.looked(10, 0.0)
    share.added = 11
    assert (share.wants_look(59.0), share.wants_look(60.0)) == (False, True)
    share.added = 12  # as may each of the others have
    assert (share.wants_look(0.5), share.wants_look(1.0), share.has_room) == (False, True, True)
    share.looked(99, 1.0)
    share.added = 1
    assert not share.has_room
    assert share.wants_look(1.0), "before anything is refused"
    share.looked(98, 1.0)
    assert share.has_room


def test_the_shares_of_all_webhooks_fit_into_the_streams() -> None:
    webhook, event = new_id(WEBHOOK), new_id(FACT)
    largest = RunWaiting(
        id=event,
        thread_id=new_id(THREAD),
        user_id=new_id(USER),
        at=rfc3339(NOW),
        run_id=new_id(RUN),
        message_id=new_id(MESSAGE),
        wait_id="w" * 64,
        reason="approval",
        expires_at=rfc3339(NOW),
    )
    due = work_of(largest, webhook)
    dead = WebhookResult(
        webhook_id=webhook,
        event_id=event,
        type=due.type,
        at=due.at,
        status="dead",
        attempts=10,
        attempted_at=rfc3339(NOW),
        response=500,
        error="x" * 300,
        work=due,
    )
    # Beside what is written of it, an entry has a subject twice (once in its message id) and its headers.
    overhead = 3 * len(webhook_result_subject(webhook, event)) + 100
    waits = (MOST_WEBHOOKS + LENT) * WEBHOOK_SHARE * (len(encode(due)) + overhead)
    kept = MOST_WEBHOOKS * KEPT * WEBHOOK_SHARE * (len(encode(dead)) + overhead)
    assert waits < WEBHOOK_WORK.max_bytes
    assert kept < WEBHOOK_RESULTS.max_bytes


def test_when_it_is_given_up() -> None:
    assert sum(STANDARD_WAITS) > 12 * 3600, "hours"

    def wait(attempts: int, **more: Any) -> float | None:
        given: dict[str, Any] = {"status": 500, "age": 0.0, "retry_after": 0.0, "waits": WAITS, "chance": 0.5} | more
        return wait_after(attempts, **given)

    assert (wait(1), wait(2), wait(3)) == (1.0, 10.0, None)
    assert wait(1, retry_after=60.0) == 60.0
    assert wait(1, retry_after=1e9) == 3600.0
    assert wait(1, age=61.0) is None, "it waited behind others for longer than all waits together"
    assert wait(1, status=410) is None


def test_retry_after_in_both_forms() -> None:
    moment = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
    assert retry_after_of("30", moment) == 30.0
    assert retry_after_of("Sat, 21 Nov 2026 07:01:00 GMT", moment) == 60.0
    for nonsense in ("", "-3", "soon", "٣", "1" * 40):
        assert retry_after_of(nonsense, moment) == 0.0


def test_both_secrets_sign_until_the_old_one_is_over() -> None:
    old, new = "whsec_b2xkb2xkb2xkb2xk", "whsec_bmV3bmV3bmV3bmV3"
    # The library holds the timestamp against its own clock, five minutes at most; the suite may have begun before that.
    now = datetime.now(UTC)
    until = rfc3339(now + timedelta(hours=1))
    hook = msgspec.structs.replace(HOOK, secrets=[Secret(value=new), Secret(value=old, until=until)])
    due = work()

    def verify(secret: str, moment: datetime) -> None:
        headers = {"webhook-id": due.event_id, "webhook-timestamp": str(int(now.timestamp()))}
        headers["webhook-signature"] = signatures_of(hook, due, moment)
        Verifier(secret).verify(due.body, headers)

    verify(new, now)
    verify(old, now)
    signatures = signatures_of(hook, due, now + timedelta(hours=2))
    assert signatures.count("v1,") == 1
    with pytest.raises(WebhookVerificationError):
        verify("whsec_b3RoZXJvdGhlcm90aGVy", now)


HEAD: dict[str, Any] = {"id": new_id(FACT), "thread_id": new_id(THREAD), "user_id": new_id(USER), "at": rfc3339(NOW)}
IDS: dict[str, Any] = {"run_id": new_id(RUN), "message_id": new_id(MESSAGE)}


@pytest.mark.parametrize(
    "fact",
    [
        ThreadCreated(**HEAD, title=CANARY),
        ThreadUpdated(**HEAD, changes={"title": CANARY, "pinned": True}),
        ThreadDeleted(**HEAD),
        ThreadShared(**HEAD, member_id="m", role="viewer", by="b", title=CANARY),
        ThreadMemberChanged(**HEAD, member_id="m", role="viewer", by="b"),
        ThreadMemberRemoved(**HEAD, member_id="m", by="b"),
        MessageAccepted(**HEAD, **IDS, assistant_message_id="a"),
        RunWaiting(**HEAD, **IDS, wait_id="w", reason="input", prompt=CANARY),
        RunEnded(**HEAD, **IDS, status="error", code="deadline", preview=CANARY),
    ],
    ids=lambda fact: type(fact).__name__,
)
async def test_every_fact_becomes_one_event_without_text(fact: Fact) -> None:
    world = World()
    assert await world.hear(fact) == Queued(queued=1)
    assert await world.hear(fact) == Queued()
    due = world.queued[fact.id]
    event = msgspec.json.decode(due.body)
    assert set(event) == {"type", "timestamp", "data"}
    assert event["type"] == due.type
    assert event["type"] in EVENT_TYPES
    assert event["data"]["thread_id"] == fact.thread_id
    assert CANARY not in due.body
