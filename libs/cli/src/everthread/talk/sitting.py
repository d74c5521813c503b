"""A person at a terminal: their lines are handled one after the other while everything else goes on."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from everthread_client import BrokenStreamError, EverthreadClient, ProblemError, UnreachableError

from everthread.errors import EXIT_INTERRUPTED, EXIT_SIGNALLED
from everthread.screen import printable
from everthread.talk.following import WATCHES, Following
from everthread.talk.people import People
from everthread.talk.places import Places
from everthread.talk.prompt import Prompt
from everthread.talk.slash import COMMANDS, LEAVING, Choice, SlashError, carry_out

_REFRESH_SECONDS = 0.25


class Sitting:
    """One `everthread chat` on a terminal. `come_back` is the command that comes back to what runs."""

    def __init__(
        self,
        client: EverthreadClient,
        me: str,
        places: Places,
        *,
        user: str,
        model: str | None,
        come_back: str,
        stop: str,
    ) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._typed = asyncio.Event()
        self._prompt = Prompt(submitted=self._lines.put_nowait, changed=self._typed.set, words=[*COMMANDS, *LEAVING])
        self._here = Following(client, self._prompt, People(me), places, user)
        self._choice = Choice(model=model)
        self._come_back = come_back
        self._stop = stop

    async def run(self, thread_id: str | None) -> int:
        """Until the person leaves; the exit code. Raises ProblemError, UnreachableError where `thread_id` cannot be entered."""
        self._prompt.write("Ctrl-C leaves an answer running, /help lists the commands.", "note")
        if thread_id is not None:
            await self._here.enter(thread_id)
        self._here.refresh()
        tasks = [
            asyncio.create_task(work(), name=name)
            for name, work in (
                ("lines", self._handle_lines),
                ("feed", self._watch_feed),
                ("clock", self._refresh),
                ("typing", self._tell_typing),
            )
        ]
        try:
            left = await self._prompt.run()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            running = self._here.running()
            await self._here.leave()
            if running:
                self._prompt.write("The answer goes on without you.")
                self._prompt.write(f"Come back: {self._come_back}")
                self._prompt.write(f"Stop it:   {self._stop}")
            self._prompt.flush()
        if isinstance(left, int):
            return EXIT_SIGNALLED + left
        return EXIT_INTERRUPTED if left == "interrupted" and running else 0

    async def _handle_lines(self) -> None:
        while True:
            line = await self._lines.get()
            if line.strip() in LEAVING:
                self._prompt.leave()
                return
            if line.strip() or self._here.waits.asks:
                await self._guarded(lambda line=line: self._take(line), line)  # type: ignore[misc]  # of this turn
            self._here.refresh()

    async def _take(self, line: str) -> None:
        here = self._here
        if line.lstrip().startswith("/"):
            await carry_out(here, self._choice, line)
        elif here.waits.asks:
            await here.waits.answer(line)
        elif here.thread is not None and here.thread.role == "viewer":
            raise SlashError(WATCHES)
        else:
            await here.send(line, model=self._choice.model, agent=self._choice.agent)

    async def _guarded(self, work: Callable[[], Awaitable[None]], line: str = "") -> None:
        """What goes wrong is said, and a message that was not sent stands where one types again."""
        try:
            await work()
            return
        except SlashError as error:
            self._here.transcript.aside(str(error), "warning")
        except ProblemError as error:
            self._here.transcript.aside(printable(error.detail or error.code), "warning")
        except (UnreachableError, BrokenStreamError) as error:
            self._here.transcript.aside(f"No gateway answers ({error}); what was accepted goes on.", "failure")
        except (msgspec.MsgspecError, ValueError, LookupError) as error:
            # An answer of a newer mesh, say. The lines that follow must be heard all the same.
            self._here.transcript.aside(f"That could not be done: {printable(repr(error))}.", "failure")
        if line and not line.startswith("/"):
            self._prompt.retype(line)

    async def _watch_feed(self) -> None:
        await self._guarded(self._here.watch_feed)

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            self._here.refresh()

    async def _tell_typing(self) -> None:
        while True:
            await self._typed.wait()
            self._typed.clear()
            await self._here.typing()
