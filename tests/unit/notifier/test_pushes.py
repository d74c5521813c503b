"""Who is pushed to, what, and what is done when a push service says no."""

import json
from collections.abc import Sequence
from typing import Any

from bus.api import Delivery, Done, RetryLater
from contracts.devices import Device
from contracts.facts import RunEnded, RunWaiting, encode_fact
from contracts.ids import DEVICE, FACT, MESSAGE, RUN, THREAD, USER, new_id
from contracts.times import rfc3339
from notifier.domain.push_messages import LONGEST, payload_of
from notifier.entrypoints.facts import push_subscriber
from notifier.ports import Reply

OWNER, OTHER = new_id(USER), new_id(USER)


def device(name: str, **more: Any) -> Device:
    return Device(id=new_id(DEVICE), endpoint=f"https://push.example/{name}", p256dh="p", auth="a", **more)


class World:
    """All ports, in memory; `answers` by the end of the endpoint."""

    def __init__(self) -> None:
        self.watching = frozenset[str]()
        self.asked = 0
        self.devices = {OWNER: [device("one"), device("two", with_text=True)], OTHER: [device("three")]}
        self.answers: dict[str, Reply] = {}
        self.pushed: list[tuple[str, dict[str, Any], str]] = []

    async def watched_by(self, thread_id: str) -> frozenset[str]:
        self.asked += 1
        return self.watching

    async def is_deleted(self, thread_id: str) -> bool:
        return False

    async def of(self, user_id: str) -> Sequence[Device]:
        return list(self.devices.get(user_id, []))

    async def remove(self, user_id: str, device_id: str) -> None:
        self.devices[user_id] = [kept for kept in self.devices[user_id] if kept.id != device_id]

    async def push(self, device: Device, payload: bytes, *, topic: str) -> Reply:
        name = device.endpoint.rpartition("/")[2]
        self.pushed.append((name, json.loads(payload), topic))
        return self.answers.get(name, Reply(201, "taken"))

    @property
    def told(self) -> list[str]:
        return sorted(name for name, _, _ in self.pushed)


def now() -> str:
    from datetime import UTC, datetime

    return rfc3339(datetime.now(UTC))


def ended(status: str = "complete", **more: Any) -> RunEnded:
    fields = {
        "id": new_id(FACT),
        "thread_id": new_id(THREAD),
        "user_id": OWNER,
        "audience": [OWNER, OTHER],
        "at": now(),
        "run_id": new_id(RUN),
        "message_id": new_id(MESSAGE),
        "status": status,
        "preview": "It is raining.",
    }
    return RunEnded(**(fields | more))


def delivery(fact: RunEnded | RunWaiting, delivered: int = 1) -> Delivery:
    return Delivery(subject="thread.x", data=encode_fact(fact), stream_sequence=7, delivered=delivered, reply="r")


async def test_all_devices_of_those_who_do_not_watch_and_text_only_where_it_is_allowed() -> None:
    world, fact = World(), ended()
    on_fact = push_subscriber(world, world, world)
    assert await on_fact(delivery(fact)) == Done()
    assert world.told == ["one", "three", "two"]
    by_name = {name: payload for name, payload, _ in world.pushed}
    assert "text" not in by_name["one"]
    assert by_name["two"]["text"] == "It is raining."
    assert by_name["one"]["type"] == "run.completed"
    assert len({topic for _, _, topic in world.pushed}) == 1
    world.watching = frozenset({OWNER})
    world.pushed.clear()
    await on_fact(delivery(ended()))
    assert world.told == ["three"]


async def test_nobody_asks_who_watches_where_there_is_no_device() -> None:
    world = World()
    on_fact = push_subscriber(world, world, world)
    assert await on_fact(delivery(ended())) == Done()
    asked, world.devices = world.asked, {}
    assert await on_fact(delivery(ended())) == Done()
    assert (asked, world.asked, len(world.told)) == (1, 1, 3)


async def test_only_what_finished_or_waits_for_a_person() -> None:
    world = World()
    on_fact = push_subscriber(world, world, world)
    wait: dict[str, Any] = {"id": new_id(FACT), "thread_id": new_id(THREAD), "user_id": OWNER, "at": now()}
    wait |= {"run_id": new_id(RUN), "message_id": new_id(MESSAGE), "wait_id": "w"}
    await on_fact(delivery(ended("cancelled")))
    await on_fact(delivery(RunWaiting(**wait, reason="timer")))
    await on_fact(delivery(ended(at="2026-01-01T00:00:00.000Z")))
    assert world.told == []
    await on_fact(delivery(RunWaiting(**wait, reason="approval", prompt="May I?")))
    assert world.told == ["one", "two"]


async def test_what_is_gone_is_removed_and_a_busy_service_asked_again_alone() -> None:
    world, fact = World(), ended()
    world.answers = {"one": Reply(410, "gone"), "two": Reply(429, "busy", retry_after=90.0), "three": Reply(400, "no")}
    on_fact = push_subscriber(world, world, world)
    assert await on_fact(delivery(fact)) == RetryLater(90.0)
    assert [kept.endpoint[-3:] for kept in world.devices[OWNER]] == ["two"]
    world.answers, world.pushed = {}, []
    assert await on_fact(delivery(fact, delivered=2)) == Done()
    assert world.told == ["two"]


async def test_a_push_is_given_up_in_the_end() -> None:
    world = World()
    world.answers = dict.fromkeys(("one", "two", "three"), Reply(0, "nobody"))
    assert await push_subscriber(world, world, world)(delivery(ended(), delivered=8)) == Done()


def test_a_payload_is_small() -> None:
    fact = ended(preview="ü" * 5000)
    assert len(payload_of(fact, with_text=True)) <= LONGEST
