"""A thread that is followed: what anybody writes in it is shown in order, while the person at this terminal types."""

import asyncio
import contextlib
import secrets
from contextlib import aclosing
from typing import Final

import msgspec
from contracts import events as e
from contracts.codes import Code
from contracts.facts import FeedEntry
from everthread_client import EverthreadClient, ProblemError, UnreachableError
from everthread_client.answers import Accepted, Presence, Present, Thread
from everthread_client.threads import gone

from everthread.screen import printable
from everthread.talk.past import Going, Past
from everthread.talk.people import People
from everthread.talk.places import LastRun, Place, Places
from everthread.talk.prompt import TYPED, Prompt
from everthread.talk.standing import Standing
from everthread.talk.transcript import Transcript
from everthread.talk.waits import Waits

_KEEP_SECONDS: Final = 0.5
WATCHES: Final = "You may watch this thread but not write in it; ask its owner to make you an editor."


class Following:
    """One thread at a time. All that is shown passes `_order`, so a message stands before its answer."""

    def __init__(self, client: EverthreadClient, prompt: Prompt, people: People, places: Places, user: str) -> None:
        self.client: Final = client
        self.people: Final = people
        self.prompt: Final = prompt
        self.transcript: Final = Transcript(prompt.write, people, lambda: prompt.columns)
        self.waits: Final = Waits(client, prompt, self.transcript)
        self.thread: Thread | None = None
        self.runs: dict[str, Standing] = {}
        self.last_run = ""
        self._places: Final = places
        self._user: Final = user
        self._present: list[Present] = []
        self._past = Past(client, self.transcript, people)
        self._folded: dict[str, int] = {}
        self._place = Place()
        self._place_run = ""
        self._lost = ""
        self._elsewhere: set[str] = set()
        self._unsure: dict[tuple[str, str, str | None, str | None, str], str] = {}
        self._unmade: dict[str | None, str] = {}
        self._order: Final = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
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
            for going in await self._past.arrive(thread, self._place.message_id):
                self._go_on(going)
            self._place.message_id = self._past.last or self._place.message_id
        cursor = self._place.cursor
        self._task = asyncio.create_task(self._follow(thread_id, cursor), name=f"follow {thread_id}")
        with contextlib.suppress(ProblemError, UnreachableError):
            await self.client.threads.read(thread_id)

    async def leave(self) -> None:
        """Follow nothing. What runs goes on."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self.transcript.finish()
        self.keep()
        self.thread, self._lost, self._place_run, self.last_run = None, "", "", ""
        for kept in (self.runs, self._folded):
            kept.clear()
        self._past, self._present = Past(self.client, self.transcript, self.people), []
        self.waits.clear()
        self.prompt.name(TYPED)

    async def send(
        self, content: str, *, model: str | None = None, agent: str | None = None, on_busy: str = ""
    ) -> None:
        """Say it in the thread, or in a new one. Raises ProblemError, UnreachableError: it may be accepted all the same, so the
        same said again next is the same request."""
        if self.thread is None:
            # The same one where nobody said whether it was made.
            once = self._unmade.setdefault(model, secrets.token_hex(16))
            try:
                made = await self.client.create_thread(model=model, idempotency_key=once)
                await self.enter(made.id)
            except ProblemError:
                self._unmade.clear()
                raise
            self._unmade.clear()
        thread = self.current()
        asked = (thread.id, content, model, agent, on_busy)
        async with self._order:
            key = self._unsure.pop(asked, None) or secrets.token_hex(16)
            self._unsure.clear()
            try:
                accepted = await self.client.send(
                    thread.id, content, model=model, agent=agent, on_busy=on_busy or None, idempotency_key=key
                )
            except UnreachableError:
                self._unsure[asked] = key
                raise
            self.accepted(accepted, content)

    def accepted(self, accepted: Accepted, content: str) -> None:
        """Show a message of one's own. Call it while holding what `ordered` gives, so that its answer comes after it."""
        remark = " (joins the answer)" if accepted.steered else " (waits for its turn)" if accepted.queued else ""
        self._past.shown.add(accepted.message_id)
        if not accepted.steered:
            self.transcript.question(content, self.people.name(self.people.me) + remark)
            self._standing(accepted.run_id)
        self.last_run = accepted.run_id
        self.keep()

    @property
    def ordered(self) -> asyncio.Lock:
        """Hold it from before a message is sent until it is shown."""
        return self._order

    async def retell(self) -> None:
        """Show the branch that goes on now, after it was chosen. Raises ProblemError, UnreachableError."""
        async with self._order:
            await self._past.retell(self.current().id)

    def is_present(self, user_id: str) -> bool:
        """They watch the thread now."""
        return any(one.user_id == user_id for one in self._present)

    def current(self) -> Thread:
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
        """Bring growing lines and status line up to date."""
        self.prompt.show(self.transcript.growing(), self._status())

    def keep(self) -> None:
        """Remember where one is."""
        if self.thread is None:
            return
        self._places.keep(self._user, self.thread.id, self._place)
        if self.last_run:
            standing = self.runs.get(self.last_run)
            ended = self.last_run in self._past.ended or (standing is not None and standing.ended)
            cursor = self._place.cursor if self._place_run == self.last_run else ""
            self._places.keep_last(
                LastRun(user=self._user, thread_id=self.thread.id, run_id=self.last_run, cursor=cursor, ended=ended)
            )

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
                self.waits.clear()

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
            if error.code == Code.CURSOR_INVALID and cursor:
                # What this device has kept is no place; what was shown is known all the same.
                await self._follow(thread_id, "")
            elif gone(error):
                self.transcript.note("You are not in this thread any more.", "failure")
                self.thread = None
            else:
                self.transcript.note(printable(error.detail or error.code), "failure")
        except msgspec.MsgspecError as error:
            self.transcript.note(f"What came cannot be read ({error}); is the mesh newer than this?", "failure")
        self.waits.clear()
        self.refresh()

    async def _arrived(self, thread_id: str, place: str, item: e.RunEvent | Presence) -> None:
        if isinstance(item, Presence):
            self._present = item.items
            return
        self._place.cursor, self._place_run = place, item.run_id
        if item.run_id in self._past.ended or item.sequence <= self._folded.get(item.run_id, 0):
            return
        if item.run_id not in self.runs:
            # Without its question the answer is still worth showing.
            with contextlib.suppress(ProblemError, UnreachableError):
                await self._news(thread_id)
        standing = self._standing(item.run_id)
        standing.apply(item, asyncio.get_running_loop().time())
        self.transcript.show(item)
        self.last_run = item.run_id
        match item:
            case e.RunWaiting() if item.reason != "timer":
                self._open(item)
            case e.RunResumed():
                self.waits.close(item.run_id)
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                self.waits.close(item.run_id)
                self._place.message_id = item.message_id
                self._past.ended.add(item.run_id)
                self.keep()
            case _:
                pass
        now = asyncio.get_running_loop().time()
        if now - self._kept_at > _KEEP_SECONDS:
            self._kept_at = now
            self.keep()

    def _go_on(self, going: Going) -> None:
        """An answer that had begun before this terminal came."""
        self.last_run = going.run_id
        state = going.state
        if state is None:
            self._standing(going.run_id)
            return
        now = asyncio.get_running_loop().time()
        # Of one that has just ended the last event is still shown: what it cost, or why it failed.
        self._folded[going.run_id] = state.sequence - state.is_terminal
        standing = self.runs[going.run_id] = Standing.of(state, now)
        standing.ended = state.is_terminal
        waiting = state.waiting
        if waiting is None:
            return
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
        standing.apply(event, now)
        self.transcript.show(event)
        if waiting.reason != "timer":
            self._open(event)

    async def _news(self, thread_id: str) -> None:
        for run_id in await self._past.news(thread_id):
            self._standing(run_id)

    def _standing(self, run_id: str) -> Standing:
        if run_id not in self.runs:
            self.runs[run_id] = Standing(run_id=run_id, since=asyncio.get_running_loop().time())
        return self.runs[run_id]

    def _open(self, wait: e.RunWaiting) -> None:
        if self.thread is not None and self.thread.role != "viewer":
            self.waits.open(wait)

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
