"""A thread that is followed: what anybody writes in it is shown in order, while the person at this terminal types."""

import asyncio
import contextlib
from contextlib import aclosing
from typing import Final

from contracts import events as e
from contracts.facts import FeedEntry
from contracts.run_state import TERMINAL_STATUSES, RunState
from everthread_client import EverthreadClient, ProblemError, UnreachableError
from everthread_client.answers import Accepted, Message, Presence, Present, Thread
from everthread_client.threads import gone

from everthread.screen import printable
from everthread.talk.form import Form
from everthread.talk.people import People
from everthread.talk.places import LastRun, Place, Places
from everthread.talk.prompt import TYPED, Prompt
from everthread.talk.standing import Standing
from everthread.talk.transcript import Transcript

SHOWN_BEFORE: Final = 6
"""Messages of the past that are shown to somebody who comes into a thread."""
_KEEP_SECONDS: Final = 0.5
_ENDED: Final = frozenset({"complete", "error", "cancelled"})
WATCHES: Final = "You may watch this thread but not write in it; ask its owner to make you an editor."


class Room:
    """One thread at a time. All that is shown passes `_order`, so a message stands before its answer."""

    def __init__(self, client: EverthreadClient, prompt: Prompt, people: People, places: Places, user: str) -> None:
        self.client: Final = client
        self.people: Final = people
        self.prompt: Final = prompt
        self.transcript: Final = Transcript(prompt.write, people, lambda: prompt.columns)
        self.thread: Thread | None = None
        self.runs: dict[str, Standing] = {}
        self.last_run = ""
        self._places: Final = places
        self._user: Final = user
        self._present: list[Present] = []
        self._forms: dict[str, Form] = {}
        self._shown: set[str] = set()
        self._done: set[str] = set()
        self._folded: dict[str, int] = {}
        self._page = ""
        self._place = Place()
        self._lost = ""
        self._elsewhere: set[str] = set()
        self._order: Final = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
        self._kept_at = 0.0
        self._typed_at = 0.0

    # What the person at this terminal does

    async def enter(self, thread_id: str) -> None:
        """Leave the thread one is in, and follow this one. Raises ProblemError, UnreachableError."""
        thread = await self.client.threads.get(thread_id)
        await self.leave()
        self.thread = thread
        self._elsewhere.discard(thread_id)
        self.prompt.name("watching> " if thread.role == "viewer" else TYPED)
        self._place = self._places.of(self._user, thread_id) or Place()
        async with self._order:
            await self._arrive(thread)
        cursor = self._place.cursor
        self._following = asyncio.create_task(self._follow(thread_id, cursor), name=f"follow {thread_id}")
        await self.client.threads.read(thread_id)

    async def leave(self) -> None:
        """Follow nothing. What runs goes on."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        self.keep()
        self.thread, self._lost, self._page = None, "", ""
        for kept in (self.runs, self._forms, self._folded):
            kept.clear()
        self._shown, self._done, self._present = set(), set(), []
        self.prompt.ask(None)
        self.prompt.name(TYPED)

    async def send(
        self, content: str, *, model: str | None = None, agent: str | None = None, on_busy: str = ""
    ) -> None:
        """Say it in the thread, or in a new one. Raises ProblemError, UnreachableError."""
        if self.thread is None:
            made = await self.client.create_thread(model=model)
            await self.enter(made.id)
        thread = self.here()
        async with self._order:
            accepted = await self.client.send(thread.id, content, model=model, agent=agent, on_busy=on_busy or None)
            self.accepted(accepted, content)

    def accepted(self, accepted: Accepted, content: str) -> None:
        """Show a message of one's own. Call it while holding what `ordered` gives, so that its answer comes after it."""
        remark = " (joins the answer)" if accepted.steered else " (waits for its turn)" if accepted.queued else ""
        self._shown.add(accepted.message_id)
        if not accepted.steered:
            self.transcript.question(content, self.people.me, remark)
            self._standing(accepted.run_id)
        self.last_run = accepted.run_id
        self.keep()

    @property
    def ordered(self) -> asyncio.Lock:
        """Hold it from before a message is sent until it is shown."""
        return self._order

    async def answer(self, line: str) -> None:
        """The person's line for the form that asks. Raises ProblemError, UnreachableError."""
        run_id, form = next(iter(self._forms.items()))
        try:
            if not form.take(line):
                self.prompt.ask(form.label)
                return
        except ValueError as error:
            self.transcript.aside(f"{error}; try again", "warning")
            return
        try:
            if form.approves:
                approved, note = form.answer
                await self.client.approve(run_id, approved, wait_id=form.wait.wait_id, note=note)
            else:
                await self.client.provide_input(run_id, form.answer, wait_id=form.wait.wait_id)
        except ProblemError as error:
            self.transcript.aside(printable(error.detail), "warning")
            form.again()
            if error.code == "input_invalid":
                return
        self._close(run_id)

    @property
    def asks(self) -> bool:
        """The next line answers a question."""
        return bool(self._forms)

    async def retell(self) -> None:
        """Show the branch that goes on now, after it was chosen. Raises ProblemError, UnreachableError."""
        async with self._order:
            self.transcript.note("--- this branch ---", "marker")
            for message in (await self.client.threads.messages(self.here().id, "active"))[-SHOWN_BEFORE:]:
                if message.role != "assistant" or message.status in _ENDED:
                    await self._tell(message)

    def is_present(self, user_id: str) -> bool:
        """They watch the thread now."""
        return any(one.user_id == user_id for one in self._present)

    def here(self) -> Thread:
        """The thread one is in. Raises ProblemError where one is in none."""
        if self.thread is None:
            raise ProblemError(404, "no_thread", "You are in no thread yet; say something, or /open one.")
        return self.thread

    def running(self) -> list[str]:
        """The runs that have not ended, the oldest first."""
        return [run_id for run_id, standing in self.runs.items() if not standing.ended]

    async def typing(self) -> None:
        """Show the others that one types, every few seconds at most."""
        now = asyncio.get_running_loop().time()
        thread = self.thread
        if thread is None or thread.members < 2 or thread.role == "viewer" or now - self._typed_at < 3.0:
            return
        self._typed_at = now
        with contextlib.suppress(ProblemError, UnreachableError):
            await self.client.threads.typing(thread.id)

    def refresh(self) -> None:
        """Bring tail and status line up to date."""
        self.prompt.show(self.transcript.tail(), self._status())

    def keep(self) -> None:
        """Remember where one is."""
        if self.thread is None:
            return
        self._places.keep(self._user, self.thread.id, self._place)
        if self.last_run:
            standing = self.runs.get(self.last_run)
            ended = self.last_run in self._done or (standing is not None and standing.ended)
            cursor = self._place.cursor if self._place_run == self.last_run else ""
            self._places.keep_last(
                LastRun(user=self._user, thread_id=self.thread.id, run_id=self.last_run, cursor=cursor, ended=ended)
            )

    _place_run = ""
    """The run that the place's cursor is in."""

    # What others do

    async def watch_feed(self) -> None:
        """Hear of what happens in all of one's threads: messages before their answers begin, roles, other threads' ends."""
        unread = await self.client.threads.unread()
        if unread.total:
            self.transcript.aside(f"{unread.total} unread in your threads; /threads lists them", "marker")
        async with aclosing(self.client.me_events(unread.cursor, patience=float("inf"))) as entries:
            async for _, entry in entries:
                try:
                    await self._heard(entry)
                except (ProblemError, UnreachableError) as error:
                    self.transcript.aside(str(error), "warning")
                self.refresh()

    async def _heard(self, entry: FeedEntry) -> None:
        thread = self.thread
        if thread is None or entry.thread_id != thread.id:
            if entry.unread and entry.thread_id not in self._elsewhere:
                self._elsewhere.add(entry.thread_id)
                self.transcript.aside(f"[news in {entry.thread_id}: {entry.type}; /open {entry.thread_id}]", "marker")
            return
        if entry.type in ("message.accepted", "thread.changed"):
            async with self._order:
                await self._news(thread.id)
        if entry.type.startswith("thread.") and entry.type not in ("thread.read", "thread.deleted"):
            before = thread.role
            self.thread = await self.client.threads.get(thread.id)
            if self.thread.role != before:
                self.transcript.aside(f"[you are {self.thread.role} here now]", "marker")
                self.prompt.name("watching> " if self.thread.role == "viewer" else TYPED)
                self._forms.clear()
                self.prompt.ask(None)

    async def _follow(self, thread_id: str, cursor: str) -> None:
        try:
            async with aclosing(
                self.client.threads.events(thread_id, cursor or None, connection=self._connected)
            ) as items:
                async for place, item in items:
                    async with self._order:
                        await self._arrived(thread_id, place, item)
                    self.refresh()
        except ProblemError as error:
            gone_now = gone(error)
            self.transcript.note(
                "You are not in this thread any more." if gone_now else printable(error.detail or error.code), "failure"
            )
            self.thread = None if gone_now else self.thread
            self.prompt.ask(None)
            self.refresh()

    async def _arrived(self, thread_id: str, place: str, item: e.RunEvent | Presence) -> None:
        if isinstance(item, Presence):
            self._present = item.items
            return
        self._place.cursor, self._place_run = place, item.run_id
        if item.run_id in self._done or item.sequence <= self._folded.get(item.run_id, 0):
            return
        if item.run_id not in self.runs:
            await self._news(thread_id)
        standing = self._standing(item.run_id)
        standing.apply(item, asyncio.get_running_loop().time())
        self.transcript.show(item)
        self.last_run = item.run_id
        match item:
            case e.RunWaiting() if item.reason != "timer":
                self._open(item)
            case e.RunResumed():
                self._close(item.run_id)
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                self._close(item.run_id)
                self._place.message_id = item.message_id
                self._done.add(item.run_id)
                self.keep()
            case _:
                pass
        now = asyncio.get_running_loop().time()
        if now - self._kept_at > _KEEP_SECONDS:
            self._kept_at = now
            self.keep()

    async def _arrive(self, thread: Thread) -> None:
        """Show what was said before, with a mark where this person had left."""
        everything = await self._read(thread.id)
        active = {message.id for message in await self.client.threads.messages(thread.id, "active")}
        seen_to = next((i for i, m in enumerate(everything) if m.id == self._place.message_id), -1)
        title = printable(thread.title) or thread.id
        self.transcript.note(f"[{title} · {thread.id} · you are its {thread.role}, {thread.members} in it]")
        unseen = [m for m in everything[seen_to + 1 :] if m.role == "user" and m.author != self.people.me]
        past = [m for m in everything[: seen_to + 1] if m.id in active][-SHOWN_BEFORE:]
        rest = everything[seen_to + 1 :]
        if seen_to < 0:
            chosen = [m for m in everything if m.id in active]
            past, rest = [], chosen[-SHOWN_BEFORE:]
            left_out = len(chosen) - len(rest)
            if left_out:
                self.transcript.note(f"[{left_out} messages before]")
        for message in past:
            await self._tell(message)
        if seen_to >= 0 and rest:
            others = f", {len(unseen)} by others" if unseen else ""
            self.transcript.note(f"--- new since you were here: {len(rest)} messages{others} ---", "marker")
        elif thread.unread:
            self.transcript.note(f"--- {thread.unread} entries of this thread were unread ---", "marker")
        for message in rest:
            await self._tell(message)
        for message in everything:
            self._shown.add(message.id)
            if message.run_id and message.role == "assistant" and message.status in _ENDED:
                self._done.add(message.run_id)
                self._place.message_id = message.id

    async def _tell(self, message: Message) -> None:
        if message.role != "assistant":
            self._question(message)
            return
        if not message.run_id or message.status in _ENDED:
            self.transcript.parts(message.run_id or message.id, message.parts, message.content)
            if message.status == "cancelled":
                self.transcript.note(f"[stopped by {self.people.name(message.cancelled_by)}]", "warning")
            elif message.error:
                said = f"{message.error.get('code', '')}): {printable(message.error.get('message', ''))}"
                self.transcript.note(f"[failed ({said}]", "failure")
            return
        self.last_run = message.run_id
        standing = self._standing(message.run_id)
        state = await self._state(message.run_id)
        if state is None or not state.sequence or state.status in TERMINAL_STATUSES:
            return
        self._folded[message.run_id] = state.sequence
        self.runs[message.run_id] = standing = Standing.of(state, asyncio.get_running_loop().time())
        self.transcript.state(state)
        waiting = state.waiting
        if waiting is not None:
            event = e.RunWaiting(
                thread_id=state.thread_id,
                run_id=state.run_id,
                sequence=state.sequence,
                attempt=state.attempt,
                at=waiting.since,
                reason=waiting.reason,
                schema=waiting.schema,
                expires_at=waiting.expires_at,
                wait_id=waiting.wait_id,
                prompt=waiting.prompt,
                tool_call_id=waiting.tool_call_id,
            )
            standing.apply(event, asyncio.get_running_loop().time())
            self.transcript.show(event)
            if waiting.reason != "timer":
                self._open(event)

    async def _state(self, run_id: str) -> RunState | None:
        """The fold of the run's log; None while it has none: its events will all come."""
        try:
            return await self.client.state(run_id)
        except ProblemError:
            return None

    async def _news(self, thread_id: str) -> None:
        """Show the messages that people and services have written and that are not shown yet."""
        for message in await self._read(thread_id):
            if message.id in self._shown:
                continue
            self._shown.add(message.id)
            if message.role != "assistant":
                self._question(message)
            elif message.run_id is None:
                self.transcript.parts(message.id, message.parts, message.content)
            else:
                self._standing(message.run_id)

    async def _read(self, thread_id: str) -> list[Message]:
        """All messages of the thread the first time, those of its last page later."""
        found: list[Message] = []
        while True:
            items, following = await self.client.threads.page(thread_id, self._page)
            found += items
            if not following:
                return found
            self._page = following

    def _question(self, message: Message) -> None:
        service = next((str(part.get("name")) for part in message.parts if part.get("type") == "tool_call"), "")
        remark = f" ({printable(service)})" if service else ""
        self.transcript.question(message.content, message.author, remark)

    def _standing(self, run_id: str) -> Standing:
        if run_id not in self.runs:
            self.runs[run_id] = Standing(run_id=run_id, since=asyncio.get_running_loop().time())
        return self.runs[run_id]

    def _open(self, wait: e.RunWaiting) -> None:
        if self.thread is None or self.thread.role == "viewer":
            return
        self._forms[wait.run_id] = Form(wait)
        self.prompt.ask(next(iter(self._forms.values())).label)

    def _close(self, run_id: str) -> None:
        if self._forms.pop(run_id, None) is not None:
            self.prompt.ask(next(iter(self._forms.values())).label if self._forms else None)

    def _connected(self, problem: str) -> None:
        self._lost = problem
        self.refresh()

    def _status(self) -> str:
        now = asyncio.get_running_loop().time()
        words = [standing.words(now) for standing in self.runs.values() if not standing.ended]
        if self._lost:
            words.insert(0, "connection lost, answers go on without you")
        if not words:
            words.append("ready" if self.thread is not None else "no thread yet")
        others = [one for one in self._present if one.user_id != self.people.me]
        if others:
            typing = [self.people.name(one.user_id) for one in others if one.typing]
            words.append(f"{len(others)} watching with you" + (f", {', '.join(typing)} types" if typing else ""))
        return " | ".join([*words, "/help"])
