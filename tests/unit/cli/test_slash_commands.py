"""What a person types wrong behind a slash is a sentence, and nothing that ends the handling of their lines."""

from typing import Any, cast

import pytest
from contracts.ids import MESSAGE, THREAD, new_id
from everthread.talk.following import Following
from everthread.talk.people import People
from everthread.talk.slash import Choice, SlashError, carry_out
from everthread.talk.standing import Standing
from everthread.talk.waits import Waits
from everthread_client import ProblemError, UnreachableError
from everthread_client.answers import Branch, Invitation, Message, Thread


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
        self.people = People("usr_me")
        self.asked: list[str | None] = []
        self.waits = Waits(cast(Any, self), cast(Any, self), cast(Any, self))
        self.refusals: list[Exception] = []
        self.accepted: list[str] = []
        self.invitation = Invitation(
            title="The \x1b[2Jharbour",
            invited_by="usr_0123456789ABCDEF",
            role="editor",
            expires_at="2026-11-22T17:00:00Z",
        )

    def ask(self, label: str | None) -> None:
        self.asked.append(label)

    async def preview(self, token: str) -> Invitation:
        if token == "over":
            raise ProblemError(410, "invitation_invalid", "It was taken back.")
        return self.invitation

    async def accept(self, token: str) -> str:
        self.accepted.append(token)
        if self.refusals:
            raise self.refusals.pop(0)
        return self.thread.id

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


async def test_an_invitation_says_what_it_is_and_lets_in_at_a_yes_only() -> None:
    here = Here()
    following = cast(Following, here)
    with pytest.raises(ProblemError, match="taken back"):
        await carry_out(following, Choice(), "/join over")
    assert (here.said, here.waits.asks) == ([], False)
    await carry_out(following, Choice(), "/join token")
    assert here.said == [
        "An invitation to “The [2Jharbour”, as editor, from usr_…ABCDEF; it holds until 2026-11-22T17:00:00Z."
    ]
    assert (here.waits.asks, here.asked[-1], here.accepted) == (True, "join? [y/n] ", [])
    # What another thread asked is forgotten with it; this is asked all the same. An empty line decides nothing.
    here.waits.clear()
    await here.waits.answer("")
    assert here.waits.asks
    await here.waits.answer("n")
    assert (here.waits.asks, here.asked[-1], here.accepted, here.entered) == (False, None, [], [])
    assert here.said[-1] == "You have not joined; the invitation holds as before."

    here.invitation.own_role = "viewer"
    here.refusals = [UnreachableError("nobody"), ProblemError(410, "invitation_invalid", "It was used up.")]
    await carry_out(following, Choice(), "/join token")
    assert here.said[-1].endswith(" You are in it already, as viewer.")
    with pytest.raises(UnreachableError):
        await here.waits.answer("y")
    assert here.waits.asks, "asked once more, so that a y is not a message"
    await here.waits.answer("y")
    assert (here.waits.asks, here.said[-1], here.entered) == (False, "It was used up.", [])
    await carry_out(following, Choice(), "/join token")
    await here.waits.answer("y")
    assert (here.waits.asks, here.entered, here.accepted) == (False, [here.thread.id], ["token"] * 3)
