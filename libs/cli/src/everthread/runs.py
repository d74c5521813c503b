"""`everthread runs`, `tail` and `replay`: the caller's runs, seen from a terminal."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import msgspec
from contracts.events import RunEvent, encode_event
from contracts.ids import RUN, InvalidIdError, check_id
from everthread_client import BrokenStreamError, EverthreadClient, ProblemError, UnreachableError

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.hints import hint
from everthread.home import Home
from everthread.keys import mint
from everthread.screen import Screen, lenient, printable
from everthread.state import read_state
from everthread.trace import read_token, refusal_text

_TOKEN_SECONDS: Final = 3600
_ENDED: Final = ("complete", "error", "cancelled")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose runs: a user under the development key, or whoever a token is for."""

    user: str
    token_file: Path | None


def show_runs(home: Home, caller: Caller, *, limit: int, as_json: bool) -> int:
    """Print the newest runs; returns the exit code. Raises RefusedError."""
    runs = _with_client(home, caller, lambda client: client.runs(limit=limit))
    if as_json:
        print(json.dumps(runs, indent=1))
        return 0
    for run in runs:
        print(line_of(run))
    if not runs:
        print("No runs in the last week.", file=sys.stderr)
    return 0


def line_of(run: dict[str, Any]) -> str:
    """One run on one line: when, its id, how it is, by what, what it cost."""
    cost = "" if run["cost_microusd"] is None else f"{run['cost_microusd'] / 1_000_000:.6f} USD"
    code = f" ({run['error']['code']})" if run["error"] else ""
    agent = f" {run['agent']}" if run.get("agent") else ""
    words = (run["created_at"], run["id"], f"{run['status']}{code}", f"{run['model']}{agent}", cost)
    return printable("  ".join(words)).rstrip()


def tail_run(home: Home, run_id: str, caller: Caller, *, as_json: bool) -> int:
    """Show a run from its beginning and follow it to its end. Raises RefusedError."""
    _check(run_id)
    return _with_client(home, caller, lambda client: _print(home, client.follow(run_id), as_json))


def replay_run(home: Home, run_id: str, caller: Caller, *, speed: float, as_json: bool) -> int:
    """Show a run that has ended once more, at its own pace times `speed`; 0 without pauses. Raises RefusedError."""
    _check(run_id)

    async def replay(client: EverthreadClient) -> int:
        if (await client.run(run_id))["status"] not in _ENDED:
            raise RefusedError(f"{run_id} has not ended; follow it with {hint(home, f'tail {run_id}')}")
        return await _print(home, client.replay(run_id, speed=speed), as_json)

    return _with_client(home, caller, replay)


async def _print(home: Home, events: AsyncGenerator[RunEvent, None], as_json: bool) -> int:
    screen = Screen(
        lenient(sys.stdout), lenient(sys.stderr), come_back=hint(home, "tail RUN"), stop=hint(home, "chat --stop")
    )
    code = 0
    async with aclosing(events):
        async for event in events:
            if as_json:
                print(encode_event(event).decode(), flush=True)
            else:
                code = screen.show(event) or code
    return code


def _check(run_id: str) -> None:
    try:
        check_id(RUN, run_id)
    except InvalidIdError as error:
        raise RefusedError(str(error), EXIT_USAGE) from None


def _with_client(home: Home, caller: Caller, work: Callable[[EverthreadClient], Awaitable[T]]) -> T:
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is None:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up`, in another terminal")
    token = read_token(caller.token_file)
    if token is None and mesh.issuer != "development":
        raise RefusedError("this mesh takes tokens from an identity provider; give one with --token-file")

    async def with_client() -> T:
        bearer = token or mint(home.dev_key, user=caller.user, role="user", lifetime=_TOKEN_SECONDS)
        http = httpx2.AsyncClient(timeout=httpx2.Timeout(10.0, connect=5.0), trust_env=False)
        async with EverthreadClient(mesh.urls, bearer, patience=20.0, http=http) as client:
            return await work(client)

    try:
        return asyncio.run(with_client())
    except ProblemError as error:
        raise RefusedError(refusal_text(error, None if token else caller.user)) from None
    except UnreachableError:
        raise RefusedError(f"no gateway answers at {', '.join(mesh.urls)}; look with `everthread doctor`") from None
    except (BrokenStreamError, msgspec.MsgspecError) as error:
        raise RefusedError(str(error).rstrip(".")) from None
