"""`everthread trace RUN`: where an answer spent its time, as a waterfall in the terminal."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx2
from contracts.codes import Code
from contracts.ids import RUN, InvalidIdError, check_id
from everthread_client import EverthreadClient, ProblemError, UnreachableError

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home
from everthread.keys import mint
from everthread.state import read_state

BAR: Final = 48
_TOKEN_SECONDS: Final = 300
_WORDS: Final = {
    "accepted": "accepted",
    "published": "on the broker",
    "claimed": "a worker has it",
    "asked": "the model is asked",
    "first_token": "first text stored",
    "shown": "first text shown",
    "ended": "ended",
    "stored": "the answer is stored",
}


def read_token(file: Path | None) -> str | None:
    """A bearer token out of a file, None without one. Raises RefusedError."""
    try:
        return None if file is None else file.read_text("utf-8").strip()
    except OSError as error:
        raise RefusedError(f"--token-file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RefusedError(f"--token-file {file} is no text, so it holds no token") from None


def refusal_text(error: ProblemError, user: str | None) -> str:
    """What the gateway said, and where a run was not found, among whose it was looked for (`user`: of the development key)."""
    elsewhere = user is not None and error.code == Code.RUN_NOT_FOUND
    remedy = f"; it is looked for among the runs of {user!r}, choose another with --user" if elsewhere else ""
    return (error.detail or error.code).rstrip(".") + remedy


def show_trace(home: Home, run_id: str, *, user: str, token: str | None, as_json: bool) -> int:
    """Print the timeline of a run of `user`; returns the exit code. Raises RefusedError."""
    try:
        check_id(RUN, run_id)
    except InvalidIdError as error:
        raise RefusedError(str(error), EXIT_USAGE) from None
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is None:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up`, in another terminal")
    if token is None and mesh.issuer != "development":
        raise RefusedError("this mesh takes tokens from an identity provider; give one with --token-file")
    bearer = token or mint(home.dev_key, user=user, role="user", lifetime=_TOKEN_SECONDS)
    try:
        timeline = asyncio.run(_fetch(mesh.urls, bearer, run_id))
    except ProblemError as error:
        raise RefusedError(refusal_text(error, None if token else user)) from None
    except UnreachableError:
        raise RefusedError(f"no gateway answers at {', '.join(mesh.urls)}; look with `everthread doctor`") from None
    print(json.dumps(timeline, indent=1) if as_json else "\n".join(waterfall(timeline)))
    return 0


async def _fetch(urls: list[str], bearer: str, run_id: str) -> dict[str, Any]:
    http = httpx2.AsyncClient(timeout=httpx2.Timeout(10.0, connect=5.0), trust_env=False)
    async with EverthreadClient(urls, bearer, patience=10.0, http=http) as client:
        return await client.timeline(run_id)


def waterfall(timeline: dict[str, Any]) -> list[str]:
    """The lines for a person."""
    phases = timeline["phases"]
    begin = _time(phases[0]["at"])
    ends = [_time(span["ended_at"]) for span in [*timeline["attempts"], *timeline["steps"]] if span["ended_at"]]
    last = max([_time(phase["at"]) for phase in phases] + ends)
    whole = max((last - begin).total_seconds() * 1000, 1.0)

    def bar(start: float, end: float) -> str:
        first = min(BAR - 1, int(start / whole * BAR))
        width = max(1, round((end - start) / whole * BAR))
        return (" " * first + "█" * min(width, BAR - first)).ljust(BAR)

    def line(name: str, at: float, start: float, end: float, about: str) -> str:
        return f"{name:<22}{at:>9.0f} ms │{bar(start, end)}│ {about}".rstrip()

    def offset(text: str | None) -> float:
        return whole if text is None else max(0.0, (_time(text) - begin).total_seconds() * 1000)

    lines = [
        f"{timeline['run_id']}  {timeline['model']}  {timeline['path']}  {timeline['status']}",
        f"accepted {phases[0]['at']}, {whole:.0f} ms in all, {timeline['pieces']} pieces of text",
        "",
    ]
    for phase in phases:
        at, start = phase["offset_ms"], phase["offset_ms"] - phase["took_ms"]
        about = f"after {phase['took_ms']} ms" if phase["name"] != "accepted" else ""
        lines.append(line(_WORDS.get(phase["name"], phase["name"]), at, start, at, about))
    for span in timeline["attempts"]:
        start, end = offset(span["started_at"]), offset(span["ended_at"])
        lines.append(line(f"attempt {span['attempt']}", start, start, end, span["worker"]))
        for step in timeline["steps"]:
            if step["attempt"] == span["attempt"]:
                start, end = offset(step["started_at"]), offset(step["ended_at"])
                about = f"{step['name']}, {step['outcome']} after {end - start:.0f} ms"
                lines.append(line(f"  step {step['step']} ({step['kind']})", start, start, end, about))
    if timeline["retractions"]:
        lines.append(f"{timeline['retractions']} times text was taken back and written anew.")
    if not timeline["whole"]:
        lines.append("The run's log has expired or is not there yet: this is what its record says.")
    if not any(phase["name"] == "ended" for phase in phases):
        lines.append("It has not ended.")
    return lines


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
