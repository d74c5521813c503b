"""Somebody comes back to a thread in the moment in which its answer ends: it stands there whole, and once."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

from contracts import events as e
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.run_state import RunState
from contracts.usage import Usage
from everthread.home import Home
from everthread.talk.following import Following
from everthread.talk.people import People
from everthread.talk.places import Place, Places
from everthread.talk.prompt import Prompt
from everthread_client import EverthreadClient
from everthread_client.answers import Message, Thread

RUN_ID, THREAD_ID, ANSWER = new_id(RUN), new_id(THREAD), new_id(MESSAGE)
LEFT_AT = 2


def event(made: Any, sequence: int, **fields: Any) -> Any:
    return made(thread_id=THREAD_ID, run_id=RUN_ID, sequence=sequence, attempt=1, at="", **fields)


EVENTS = [
    event(e.RunStarted, 1, message_id=ANSWER, model="m", path="durable_event"),
    event(e.TextDelta, 2, part=0, delta="one two "),
    event(e.TextDelta, 3, part=0, delta="three"),
    event(e.RunCompleted, 4, message_id=ANSWER, usage=Usage(input_tokens=1, output_tokens=3), cost_microusd=0),
]


class Gateway:
    """A client of a gateway where the log has the end of the answer, and the store has not."""

    def __init__(self) -> None:
        self.threads: Any = self

    async def get(self, thread_id: str) -> Thread:
        return Thread(id=THREAD_ID)

    async def page(self, thread_id: str, cursor: str) -> tuple[list[Message], str]:
        return await self.messages(thread_id), ""

    async def messages(self, thread_id: str, branch: str = "") -> list[Message]:
        return [Message(id=ANSWER, role="assistant", status="generating", run_id=RUN_ID)]

    async def state(self, run_id: str) -> RunState:
        state = RunState(run_id=RUN_ID, thread_id=THREAD_ID)
        for one in EVENTS:
            state.apply(one)
        return state

    async def events(self, thread_id: str, cursor: str | None, *, connection: Any) -> AsyncGenerator[Any, None]:
        for one in EVENTS[int(cursor or 0) :]:
            yield str(one.sequence), one

    async def read(self, thread_id: str) -> None:
        """It was read."""


class Paper:
    """A prompt that nobody types at, with what it shows."""

    columns = 80

    def __init__(self) -> None:
        self.lines: list[str] = []

    def write(self, text: str, style: str = "") -> None:
        self.lines += text.split("\n")

    def show(self, *_: Any) -> None:
        """Only what stays counts."""

    name = ask = show


async def test_an_answer_that_ends_meanwhile_is_whole(tmp_path: Path) -> None:
    home = Home(tmp_path)
    places = Places(home)
    places.keep("ada", THREAD_ID, Place(cursor=str(LEFT_AT)))
    paper = Paper()
    here = Following(cast(EverthreadClient, Gateway()), cast(Prompt, paper), People("me"), places, "ada")
    await here.enter(THREAD_ID)
    following = here._task
    assert following is not None
    await following
    assert here.running() == []
    assert paper.lines.count("one two three") == 1
    assert sum(line.startswith("[1 tokens in, 3 out") for line in paper.lines) == 1
