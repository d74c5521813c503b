"""`everthread chat`: talk in the terminal. The answer does not depend on this process; leaving it is always safe."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from contracts.ids import THREAD, InvalidIdError, check_id
from everthread_client import BrokenStreamError, EverthreadClient, ProblemError, UnreachableError

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.hints import hint
from everthread.home import Home
from everthread.keys import mint
from everthread.state import MeshState, read_state
from everthread.talk.places import Places
from everthread.talk.plain import PlainChat

_TOKEN_SECONDS: Final = 3600
_PATIENCE: Final = 60.0


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


def run_chat(home: Home, options: ChatOptions) -> int:
    """Talk until the person leaves; returns the exit code. Raises RefusedError."""
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is None:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up`, in another terminal")
    _check(options)
    places = Places(home)
    user = places.last().user if options.resume or options.stop else options.user
    client = EverthreadClient(
        mesh.urls,
        _token_source(home, mesh, user, options.token_file),
        patience=_PATIENCE,
        # Loopback: whatever proxy the environment names is for other places.
        http=httpx2.AsyncClient(timeout=httpx2.Timeout(10.0, connect=5.0), trust_env=False),
    )
    with asyncio.Runner() as runner:
        try:
            if options.once is None and not options.stop and sys.stdin.isatty() and sys.stdout.isatty():
                return runner.run(_converse(home, client, places, options, user))
            return _plain(
                runner, PlainChat(home, client, places, user=user, thread=options.thread, model=options.model), options
            )
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
            runner.run(client.close())


async def _converse(home: Home, client: EverthreadClient, places: Places, options: ChatOptions, user: str) -> int:
    # It takes a moment to import, and whoever pipes does not need it.
    from everthread.talk.sitting import Sitting

    me = await client.me()
    sitting = Sitting(
        client,
        me.id,
        places,
        user=user,
        model=options.model,
        come_back=hint(home, "chat --resume"),
        stop=hint(home, "chat --stop"),
    )
    return await sitting.run(places.last().thread_id if options.resume else options.thread)


def _plain(runner: asyncio.Runner, chat: PlainChat, options: ChatOptions) -> int:
    if options.stop:
        return runner.run(chat.stop())
    if options.resume:
        return chat.watch(runner, chat.resume())
    text = options.once if options.once is not None else sys.stdin.read()
    return chat.watch(runner, chat.ask(text)) if text.strip() else 0


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


def _token_source(home: Home, mesh: MeshState, user: str, token_file: Path | None) -> Callable[[], str] | str:
    if token_file is not None:
        try:
            return token_file.read_text("utf-8").strip()
        except OSError as error:
            raise RefusedError(f"--token-file {token_file}: {error.strerror}") from None
    if mesh.issuer != "development":
        raise RefusedError("this mesh takes tokens from an identity provider; give one with --token-file", EXIT_USAGE)
    return lambda: mint(home.dev_key, user=user, role="user", lifetime=_TOKEN_SECONDS)
