"""What was said in a thread before, or by others meanwhile: read from what is stored, told once."""

from dataclasses import dataclass
from typing import Final

from contracts.run_state import RunState
from everthread_client import EverthreadClient, ProblemError
from everthread_client.answers import Message, Thread

from everthread.screen import printable
from everthread.talk.people import People
from everthread.talk.transcript import Transcript

SHOWN_BEFORE: Final = 6
"""Messages of the past that are shown to somebody who comes into a thread."""
_ENDED: Final = frozenset({"complete", "error", "cancelled"})


@dataclass(kw_only=True)
class Going:
    """An answer that has not ended, or whose end is not stored yet. `state` is what was shown of it; None: all of its events are
    still to come."""

    run_id: str
    state: RunState | None


class Past:
    """The messages of one thread that this terminal has shown. `ended` has the runs whose answers it has shown to the end,
    `last` the last of those answers."""

    def __init__(self, client: EverthreadClient, transcript: Transcript, people: People) -> None:
        self.shown: Final[set[str]] = set()
        self.ended: Final[set[str]] = set()
        self.last = ""
        self._client = client
        self._transcript = transcript
        self._people = people
        self._page = ""

    async def arrive(self, thread: Thread, left_at: str) -> list[Going]:
        """Show what was said, with a mark behind the message `left_at`, where this person had left; what still goes on."""
        everything = await self._read(thread.id)
        active = {message.id for message in await self._client.threads.messages(thread.id, "active")}
        seen_to = next((index for index, message in enumerate(everything) if message.id == left_at), -1)
        told = [message for message in everything[: seen_to + 1] if message.id in active][-SHOWN_BEFORE:]
        new = everything[seen_to + 1 :]
        say = self._transcript.note
        say(
            f"[{printable(thread.title) or 'untitled'} · {thread.id} · you are its {thread.role}, {thread.members} in it]"
        )
        if seen_to < 0:
            whole = [message for message in everything if message.id in active]
            new = whole[-SHOWN_BEFORE:]
            if len(whole) > len(new):
                say(f"[{len(whole) - len(new)} messages before]")
        going = [await self._tell(message) for message in told]
        if seen_to >= 0 and new:
            others = sum(message.role == "user" and message.author != self._people.me for message in new)
            by = f", {others} by others" if others else ""
            say(f"--- new since you were here: {len(new)} messages{by} ---", "marker")
        elif thread.unread:
            say(f"--- {thread.unread} entries of this thread were unread ---", "marker")
        going += [await self._tell(message) for message in new]
        for message in everything:
            self.shown.add(message.id)
            if message.run_id and message.role == "assistant" and message.status in _ENDED:
                self.ended.add(message.run_id)
                self.last = message.id
        return [one for one in going if one is not None]

    async def news(self, thread_id: str) -> list[str]:
        """Show the messages that people and services have written and that are not shown yet; the runs that are new."""
        runs: list[str] = []
        for message in await self._read(thread_id):
            if message.id in self.shown:
                continue
            self.shown.add(message.id)
            if message.role != "assistant":
                self._question(message)
            elif message.run_id is None:
                self._transcript.parts(message.id, message.parts, message.content)
            else:
                runs.append(message.run_id)
        return runs

    async def retell(self, thread_id: str) -> None:
        """Show the end of the branch that goes on now, as far as it is answered."""
        self._transcript.note("--- this branch ---", "marker")
        for message in (await self._client.threads.messages(thread_id, "active"))[-SHOWN_BEFORE:]:
            if message.role != "assistant" or message.status in _ENDED:
                await self._tell(message)

    async def _tell(self, message: Message) -> Going | None:
        if message.role != "assistant":
            self._question(message)
        elif not message.run_id or message.status in _ENDED:
            self._transcript.parts(message.run_id or message.id, message.parts, message.content)
            if message.status == "cancelled":
                self._transcript.note(f"[stopped by {self._people.name(message.cancelled_by)}]", "warning")
            elif message.error:
                why = printable(message.error.get("message", ""))
                self._transcript.note(f"[failed ({message.error.get('code', '')}): {why}]", "failure")
        else:
            state = await self._state(message.run_id)
            if state is not None:
                self._transcript.state(state)
            return Going(run_id=message.run_id, state=state)
        return None

    async def _state(self, run_id: str) -> RunState | None:
        """The fold of the run's log, also of one that has just ended; None while it has none: then its events tell it."""
        try:
            state = await self._client.state(run_id)
        except ProblemError:
            return None
        return state if state.sequence else None

    async def _read(self, thread_id: str) -> list[Message]:
        """All messages of the thread the first time, those of its last page later."""
        found: list[Message] = []
        while True:
            items, following = await self._client.threads.page(thread_id, self._page)
            found += items
            if not following:
                return found
            self._page = following

    def _question(self, message: Message) -> None:
        # What a service appends has its event as a tool call that nobody asked for.
        event = next((str(part.get("name")) for part in message.parts if part.get("type") == "tool_call"), "")
        who = self._people.name(message.author) if message.author or not event else f"[{printable(event)}]"
        self._transcript.question(message.content, who)
