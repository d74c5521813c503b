"""What a person types wrong behind a slash is a sentence, and nothing that ends the handling of their lines."""

from typing import Any, cast

import pytest
from contracts.ids import MESSAGE, THREAD, new_id
from everthread.talk.following import Following
from everthread.talk.slash import Choice, SlashError, carry_out
from everthread.talk.standing import Standing
from everthread_client.answers import Branch, Message, Thread


class Here:
    """A thread with one question and one branch, whose client is at hand."""

    def __init__(self) -> None:
        self.thread = Thread(id=new_id(THREAD))
        self.entered: list[str] = []
        self.client: Any = self
        self.threads: Any = self
        self.transcript: Any = self
        self.last_run = "run"
        self.runs: dict[str, Standing] = {}
        self.said: list[str] = []
        self.equal: list[bool | None] = []

    def current(self) -> Thread:
        return self.thread

    def aside(self, text: str, style: str = "") -> None:
        self.said.append(text)

    async def verify(self, run_id: str) -> dict[str, Any]:
        return {"equal": self.equal.pop(0), "reason": "not stored yet", "sequence": 7}

    async def enter(self, thread_id: str) -> None:
        self.entered.append(thread_id)

    async def branches(self, thread_id: str) -> list[Branch]:
        return [Branch(id=new_id(MESSAGE), head=new_id(MESSAGE), length=2, active=True)]

    async def messages(self, thread_id: str, branch: str) -> list[Message]:
        return [Message(id=new_id(MESSAGE), role="user", status="complete", content="x")]


@pytest.mark.parametrize(
    "line",
    ["/open nowhere", "/open thr_1", "/open run_01M7YSWS63V740QA6R3SCSWZEM", "/switch \u00b2", "/switch 0", "/edit 9 x", "/nothing"],
)  # fmt: skip
async def test_what_is_typed_wrong_is_a_sentence(line: str) -> None:
    here = Here()
    with pytest.raises(SlashError):
        await carry_out(cast(Following, here), Choice(), line)
    assert here.entered == []


async def test_a_thread_is_entered_by_its_id() -> None:
    here = Here()
    await carry_out(cast(Following, here), Choice(), f"/open {here.thread.id}")
    assert here.entered == [here.thread.id]


async def test_what_has_just_ended_is_compared_once_it_is_stored() -> None:
    here = Here()
    here.equal = [None, None, True]
    here.runs = {"run": Standing(run_id="run", ended=True)}
    await carry_out(cast(Following, here), Choice(), "/verify")
    assert here.said == ["run: what was shown is what is stored (7 events)"]


async def test_what_goes_on_cannot_be_compared_yet() -> None:
    here = Here()
    here.equal = [None]
    here.runs = {"run": Standing(run_id="run")}
    await carry_out(cast(Following, here), Choice(), "/verify")
    assert here.said == ["run: nothing to compare yet: not stored yet (7 events)"]
