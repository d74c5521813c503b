"""`everthread chat` where there is no terminal, or for one answer: stdout carries the answer and nothing else."""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import aclosing

from contracts import events as e
from contracts.cursor import InvalidCursorError
from everthread_client import EverthreadClient

from everthread.answering import answer, can_ask
from everthread.errors import EXIT_INTERRUPTED, RefusedError
from everthread.hints import hint
from everthread.home import Home
from everthread.screen import Screen, lenient
from everthread.talk.places import LastRun, Places


class PlainChat:
    """One answer: asked for, picked up where it was left, or stopped."""

    def __init__(
        self, home: Home, client: EverthreadClient, places: Places, *, user: str, thread: str | None, model: str | None
    ) -> None:
        self._home = home
        self._client = client
        self._places = places
        self._user = user
        self._thread = thread
        self._model = model
        self._screen = Screen(
            lenient(sys.stdout),
            lenient(sys.stderr),
            come_back=hint(home, "chat --resume"),
            stop=hint(home, "chat --stop"),
        )

    def watch(self, runner: asyncio.Runner, shown: Coroutine[None, None, int]) -> int:
        """Show an answer; the exit code. Ctrl-C leaves it running."""
        try:
            return runner.run(shown)
        except KeyboardInterrupt:
            self._screen.detached()
            return EXIT_INTERRUPTED

    async def ask(self, text: str) -> int:
        """Send a message and show its answer."""
        if self._thread is None:
            self._thread = (await self._client.create_thread(model=self._model)).id
        self._screen.waiting("sending")
        accepted = await self._client.send(self._thread, text, model=self._model)
        run = LastRun(
            user=self._user, thread_id=self._thread, run_id=accepted.run_id, cursor=accepted.cursor, ended=False
        )
        self._places.keep_last(run)
        self._screen.waiting(f"accepted as {accepted.run_id}, waiting for the first word")
        return await self._show(run)

    async def resume(self) -> int:
        """Show the rest of the last answer, or the whole of it once it has ended."""
        last = self._places.last()
        if last.ended:
            self._screen.note(f"{last.run_id} has ended; this is its answer.")
            last.cursor = ""
        elif last.cursor:
            self._screen.note(f"{last.run_id} goes on where this terminal left it.")
        return await self._show(last)

    async def stop(self) -> int:
        """Stop the last answer."""
        last = self._places.last()
        stopped = await self._client.cancel(last.run_id)
        self._screen.note(
            f"{last.run_id} {'is being stopped; what was written stays' if stopped else 'had ended before'}."
        )
        return 0

    async def _show(self, run: LastRun) -> int:
        """Print the run from its cursor to its end. The cursor is kept whenever something was printed."""
        loop = asyncio.get_running_loop()
        kept_at = loop.time()
        code = 0
        answering: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._client.follow_with_cursors(run.run_id, run.cursor or None)) as events:
                async for cursor, event in events:
                    if answering is not None and isinstance(event, e.RunResumed | e.Terminal):
                        answering.cancel()
                        answering = None
                    ended = self._screen.show(event)
                    if isinstance(event, e.RunWaiting) and event.reason != "timer" and can_ask():
                        answering = asyncio.create_task(answer(self._client, self._screen, event))
                    run.cursor = cursor
                    if ended is not None:
                        run.ended, code = True, ended
                    if loop.time() - kept_at > 0.5:
                        kept_at = loop.time()
                        self._places.keep_last(run)
        except InvalidCursorError:
            raise RefusedError(f"the place in {self._home.last_run} is damaged; delete that file") from None
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
            self._places.keep_last(run)
        return code
