"""Tell the browsers of those who are not watching."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from contracts.devices import Device
from contracts.facts import Fact

from notifier.domain.push_messages import payload_of, topic_of, wants_push
from notifier.ports import Devices, PushService, Threads


@dataclass(slots=True)
class Pushed:
    """How many devices were told, are gone, may be told later, and cannot be told."""

    sent: int = 0
    gone: int = 0
    later: int = 0
    failed: int = 0
    retry_after: float = 0.0


class Told(Protocol):
    """Which (event, device) were told."""

    def __contains__(self, item: object) -> bool:
        """Whether it was."""

    def add(self, item: tuple[str, str]) -> None:
        """It was."""


async def push_fact(fact: Fact, threads: Threads, devices: Devices, service: PushService, done: Told) -> Pushed:
    """Push to each device of each of the audience, but for those who watch the thread. `done` holds (event, device) of what
    this process sent before, and grows: a fact that comes again because one push service was busy is not told twice to the
    others. Raises what the ports raise (try again)."""
    pushed = Pushed()
    if not wants_push(fact):
        return pushed
    found = [
        (user_id, device)
        for user_id in fact.told
        for device in await devices.of(user_id)
        if (fact.id, device.id) not in done
    ]
    if not found:
        # Most people have no such device, so most of the time nobody needs to know who watches.
        return pushed
    watching = await threads.watched_by(fact.thread_id)

    async def push(user_id: str, device: Device) -> None:
        payload = payload_of(fact, with_text=device.with_text)
        reply = await service.push(device, payload, topic=topic_of(fact))
        if reply.status in (404, 410) or reply.refused:
            await devices.remove(user_id, device.id)
            pushed.gone += 1
        elif 200 <= reply.status < 300:
            pushed.sent += 1
        elif reply.status == 0 or reply.status == 429 or reply.status >= 500:
            pushed.later += 1
            pushed.retry_after = max(pushed.retry_after, reply.retry_after)
            return
        else:
            pushed.failed += 1
        done.add((fact.id, device.id))

    await asyncio.gather(*(push(user_id, device) for user_id, device in found if user_id not in watching))
    return pushed
