"""A message that may have been accepted, and is sent again as it stands at the prompt, is one message."""

from pathlib import Path
from typing import cast

import pytest
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from everthread.home import Home
from everthread.talk.following import Following
from everthread.talk.people import People
from everthread.talk.places import Places
from everthread.talk.prompt import Prompt
from everthread_client import EverthreadClient, UnreachableError
from everthread_client.answers import Accepted, Thread


class Gateway:
    """A client that finds nobody the first `lost` times; the keys that it was called with."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.keys: list[str] = []
        self.made: list[str] = []

    async def send(self, thread_id: str, content: str, *, idempotency_key: str, **_: str | None) -> Accepted:
        self.keys.append(idempotency_key)
        if len(self.keys) <= self.lost:
            raise UnreachableError("nobody")
        message, answer, run = new_id(MESSAGE), new_id(MESSAGE), new_id(RUN)
        return Accepted(message_id=message, assistant_message_id=answer, run_id=run, path="durable_event")

    async def create_thread(self, *, idempotency_key: str, **_: str | None) -> Thread:
        self.made.append(idempotency_key)
        if len(self.made) <= self.lost:
            raise UnreachableError("nobody")
        return Thread(id=new_id(THREAD))


class Paper:
    """A prompt that nobody types at."""

    columns = 80

    def write(self, text: str, style: str = "") -> None:
        """Nobody reads it."""


def following(gateway: Gateway, home: Path) -> Following:
    made = Following(
        cast(EverthreadClient, gateway), cast(Prompt, Paper()), People("me"), Places(Home(home)), "ada"
    )  # fmt: skip
    made.thread = Thread(id=new_id(THREAD))
    return made


async def test_the_same_said_again_is_the_same_request(tmp_path: Path) -> None:
    gateway = Gateway(lost=2)
    here = following(gateway, tmp_path)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await here.send("yes")
    await here.send("yes")
    assert len(set(gateway.keys)) == 1
    await here.send("yes")
    assert len(set(gateway.keys)) == 2, "what was accepted is over; the same words are another message"


class Entering(Following):
    """Comes into a thread without looking at it."""

    async def enter(self, thread_id: str) -> None:
        self.thread = Thread(id=thread_id)


async def test_a_thread_that_may_have_been_made_is_made_once(tmp_path: Path) -> None:
    gateway = Gateway(lost=2)
    here = Entering(cast(EverthreadClient, gateway), cast(Prompt, Paper()), People("me"), Places(Home(tmp_path)), "ada")
    for _ in range(2):
        with pytest.raises(UnreachableError):
            await here.send("yes")
    gateway.lost = 0
    await here.send("yes")
    here.thread = None
    await here.send("and now?")
    assert [gateway.made.count(key) for key in dict.fromkeys(gateway.made)] == [3, 1]


async def test_something_else_is_another_request(tmp_path: Path) -> None:
    gateway = Gateway(lost=1)
    here = following(gateway, tmp_path)
    with pytest.raises(UnreachableError):
        await here.send("yes")
    await here.send("yes", on_busy="interrupt")
    await here.send("yes")
    assert len(set(gateway.keys)) == 3
