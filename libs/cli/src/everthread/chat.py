"""`everthread chat`: talk in the terminal. The answer does not depend on this process; leaving it is always safe."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

import httpx2
from contracts import events as e
from contracts.cursor import InvalidCursorError
from contracts.ids import THREAD, InvalidIdError, check_id
from everthread_client import BrokenStreamError, EverthreadClient, ProblemError, UnreachableError

from everthread.answering import answer, can_ask
from everthread.errors import EXIT_INTERRUPTED, EXIT_USAGE, RefusedError
from everthread.hints import hint
from everthread.home import Home, write_private
from everthread.keys import mint
from everthread.screen import Screen, lenient
from everthread.state import MeshState, read_state

_TOKEN_SECONDS: Final = 3600
_PATIENCE: Final = 60.0
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ChatOptions:
    """What the command line said."""

    resume: bool
    stop: bool
    once: str | None
    thread: str | None
    model: str | None
    user: str
    token_file: Path | None


@dataclass(kw_only=True)
class LastRun:
    """Where the last answer was left, kept in chat.json: `cursor` is what this terminal has shown."""

    user: str
    thread_id: str
    run_id: str
    cursor: str
    ended: bool


def run_chat(home: Home, options: ChatOptions) -> int:
    """Talk until the person leaves; returns the exit code. Raises RefusedError."""
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is None:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up`, in another terminal")
    _check(options)
    chat = _Chat(home, options, mesh)
    with asyncio.Runner() as runner:
        try:
            return chat.run(runner)
        except ProblemError as error:
            raise RefusedError((error.detail or error.code).rstrip(".")) from None
        except UnreachableError:
            raise RefusedError(
                f"no gateway answers at {', '.join(mesh.urls)}; look with `everthread doctor`, and come back with "
                "`everthread chat --resume`: an accepted answer goes on without you"
            ) from None
        except BrokenStreamError as error:
            raise RefusedError(str(error).rstrip(".")) from None
        finally:
            runner.run(chat.client.close())


def _check(options: ChatOptions) -> None:
    if sum((options.resume, options.stop, options.once is not None)) > 1:
        raise RefusedError("--resume, --stop and --once exclude each other; use one", EXIT_USAGE)
    if options.once is not None and not options.once.strip():
        raise RefusedError("--once is empty; give it the message", EXIT_USAGE)
    if options.thread is not None:
        try:
            check_id(THREAD, options.thread)
        except InvalidIdError as error:
            raise RefusedError(f"--thread: {error}", EXIT_USAGE) from None


class _Chat:
    def __init__(self, home: Home, options: ChatOptions, mesh: MeshState) -> None:
        self._home = home
        self._options = options
        self._screen = Screen(
            lenient(sys.stdout),
            lenient(sys.stderr),
            come_back=hint(home, "chat --resume"),
            stop=hint(home, "chat --stop"),
        )
        self._thread = options.thread
        self.client = EverthreadClient(
            mesh.urls,
            self._token_source(mesh),
            patience=_PATIENCE,
            # Loopback: whatever proxy the environment names is for other places.
            http=httpx2.AsyncClient(timeout=httpx2.Timeout(10.0, connect=5.0), trust_env=False),
        )

    def run(self, runner: asyncio.Runner) -> int:
        if self._options.stop:
            return runner.run(self._stop_last())
        if self._options.resume:
            last = self._last()
            self._thread = last.thread_id
            code = self._watch(runner, self._resumed(last))
            return code if code is not None else self._converse(runner)
        if self._options.once is not None:
            code = self._watch(runner, self._ask(self._options.once), alone=True)
            return 0 if code is None else code
        return self._converse(runner)

    def _converse(self, runner: asyncio.Runner) -> int:
        """Messages from the person, one after the other, until they leave."""
        if not sys.stdin.isatty():
            if self._options.resume:
                return 0
            text = sys.stdin.read()
            code = self._watch(runner, self._ask(text), alone=True) if text.strip() else None
            return 0 if code is None else code
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - editing and history of the input line
        self._screen.note("Ctrl-C leaves an answer running, /new begins another thread, /quit or Ctrl-D leaves.")
        while True:
            try:
                text = input("\nyou> ").strip()
            except (EOFError, KeyboardInterrupt):
                print()
                return 0
            if text in ("/quit", "/exit"):
                return 0
            if text == "/new":
                self._thread = None
            elif text:
                code = self._watch(runner, self._ask(text))
                if code == EXIT_INTERRUPTED:
                    return 0

    def _watch(self, runner: asyncio.Runner, answer: Coroutine[None, None, int], *, alone: bool = False) -> int | None:
        """Show an answer; None when it ended well, else the exit code. Ctrl-C leaves it running."""
        try:
            code = runner.run(answer)
        except KeyboardInterrupt:
            self._screen.detached()
            return EXIT_INTERRUPTED
        return None if code == 0 and not alone else code

    async def _ask(self, text: str) -> int:
        if self._thread is None:
            self._thread = (await self.client.create_thread(model=self._options.model)).id
        self._screen.waiting("sending")
        accepted = await self.client.send(self._thread, text, model=self._options.model)
        run = LastRun(
            user=self._options.user, thread_id=self._thread, run_id=accepted.run_id, cursor=accepted.cursor, ended=False
        )
        self._keep(run)
        self._screen.waiting(f"accepted as {accepted.run_id}, waiting for the first word")
        return await self._show(run)

    async def _resumed(self, last: LastRun) -> int:
        if last.ended:
            self._screen.note(f"{last.run_id} has ended; this is its answer.")
            last.cursor = ""
        elif last.cursor:
            self._screen.note(f"{last.run_id} goes on where this terminal left it.")
        return await self._show(last)

    async def _show(self, run: LastRun) -> int:
        """Print the run from its cursor to its end. The cursor is kept whenever something was printed."""
        loop = asyncio.get_running_loop()
        kept_at = loop.time()
        code = 0
        answering: asyncio.Task[None] | None = None
        try:
            async with aclosing(self.client.follow_with_cursors(run.run_id, run.cursor or None)) as events:
                async for cursor, event in events:
                    if answering is not None and isinstance(event, e.RunResumed | e.Terminal):
                        answering.cancel()
                        answering = None
                    ended = self._screen.show(event)
                    if isinstance(event, e.RunWaiting) and event.reason != "timer" and can_ask():
                        answering = asyncio.create_task(answer(self.client, self._screen, event))
                    run.cursor = cursor
                    if ended is not None:
                        run.ended, code = True, ended
                    if loop.time() - kept_at > 0.5:
                        kept_at = loop.time()
                        self._keep(run)
        except InvalidCursorError:
            raise RefusedError(f"the place in {self._home.last_run} is damaged; delete that file") from None
        finally:
            if answering is not None:
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)
            self._keep(run)
        return code

    async def _stop_last(self) -> int:
        last = self._last()
        stopped = await self.client.cancel(last.run_id)
        self._screen.note(
            f"{last.run_id} {'is being stopped; what was written stays' if stopped else 'had ended before'}."
        )
        return 0

    def _last(self) -> LastRun:
        try:
            last = LastRun(**json.loads(self._home.last_run.read_text("utf-8")))
        except FileNotFoundError:
            raise RefusedError(
                f"there is no earlier answer in {self._home.root}; begin with `everthread chat`"
            ) from None
        except (ValueError, TypeError):
            raise RefusedError(
                f"{self._home.last_run} is damaged; delete it and begin with `everthread chat`"
            ) from None
        return last

    def _keep(self, run: LastRun) -> None:
        # A full disk costs the place in the answer, not the answer.
        with contextlib.suppress(OSError):
            write_private(self._home.last_run, json.dumps(asdict(run)), sync=False)

    def _token_source(self, mesh: MeshState) -> Callable[[], str] | str:
        if self._options.token_file is not None:
            try:
                return self._options.token_file.read_text("utf-8").strip()
            except OSError as error:
                raise RefusedError(f"--token-file {self._options.token_file}: {error.strerror}") from None
        if mesh.issuer != "development":
            raise RefusedError(
                "this mesh takes tokens from an identity provider; give one with --token-file", EXIT_USAGE
            )
        user = self._last().user if self._options.resume or self._options.stop else self._options.user
        return lambda: mint(self._home.dev_key, user=user, role="user", lifetime=_TOKEN_SECONDS)
