"""Where this device left its conversations: the last answer, and in each thread the last message that was shown whole."""

import contextlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from everthread.errors import RefusedError
from everthread.home import Home, write_private

_KEPT: Final = 200


@dataclass(kw_only=True)
class LastRun:
    """Where the last answer was left, kept in chat.json: `cursor` is what this terminal has shown."""

    user: str
    thread_id: str
    run_id: str
    cursor: str
    ended: bool


@dataclass(kw_only=True)
class Place:
    """Where a person left a thread: the cursor of its stream, and the last message that they have seen to its end."""

    cursor: str = ""
    message_id: str = ""


class Places:
    """Read and written by one terminal at a time; of two that write at once the later one stays."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def last(self) -> LastRun:
        """The last answer of this home. Raises RefusedError where there is none."""
        try:
            return LastRun(**json.loads(self._home.last_run.read_text("utf-8")))
        except FileNotFoundError:
            raise RefusedError(
                f"there is no earlier answer in {self._home.root}; begin with `everthread chat`"
            ) from None
        except (OSError, ValueError, TypeError):
            raise RefusedError(
                f"{self._home.last_run} is damaged; delete it and begin with `everthread chat`"
            ) from None

    def keep_last(self, run: LastRun) -> None:
        """Remember the last answer. A full disk costs the place in the answer, not the answer."""
        with contextlib.suppress(OSError):
            write_private(self._home.last_run, json.dumps(asdict(run)), sync=False)

    def of(self, user: str, thread_id: str) -> Place | None:
        """Where the user left the thread, on this device; None where they were never in it."""
        found = self._all().get(f"{user} {thread_id}")
        return (
            None
            if found is None
            else Place(cursor=str(found.get("cursor", "")), message_id=str(found.get("message_id", "")))
        )

    def keep(self, user: str, thread_id: str, place: Place) -> None:
        """Remember a place; the oldest of many are forgotten."""
        places = self._all()
        places.pop(f"{user} {thread_id}", None)
        places[f"{user} {thread_id}"] = asdict(place)
        kept = dict(list(places.items())[-_KEPT:])
        with contextlib.suppress(OSError):
            write_private(self._home.chat_places, json.dumps(kept), sync=False)

    def _all(self) -> dict[str, dict[str, object]]:
        try:
            found = json.loads(self._home.chat_places.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return (
            {key: value for key, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}
        )
