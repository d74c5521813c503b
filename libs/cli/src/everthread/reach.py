"""Where an operator's command finds the broker and the database: by addresses, in a mesh that runs, or in a home at rest."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from everthread.broker import USER_NAMES, broker_config, user_urls
from everthread.embedded import PartError, mongo_uri, start_mongo, start_nats
from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home, kept_passwords
from everthread.state import MeshState, read_state


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Where NATS is, as admin, and where MongoDB is. `running`: services use them now, as far as is known here."""

    nats_url: str
    mongodb_uri: str
    running: bool
    place: str


def by_addresses(nats_url: str | None, mongodb_uri: str | None) -> Reach | None:
    """What the options name; None where they name nothing. Raises RefusedError where they name one of two."""
    if not nats_url and not mongodb_uri:
        return None
    if not nats_url or not mongodb_uri:
        given, missing = ("--nats-url", "--mongodb-uri") if nats_url else ("--mongodb-uri", "--nats-url")
        raise RefusedError(
            f"{given} is given and {missing} is not; a copy is of both, so name both, or neither", EXIT_USAGE
        )
    return Reach(nats_url=nats_url, mongodb_uri=mongodb_uri, running=True, place="the addresses given")


def of_mesh(home: Home, mesh: MeshState) -> Reach:
    """The embedded parts of a mesh that runs. Raises RefusedError where it uses others."""
    ports = {part.name: part.port for part in mesh.parts}
    replaced = [name for name in ("nats", "mongo") if name not in ports]
    if replaced:
        raise RefusedError(
            f"the mesh in {home.root} uses servers of yours ({', '.join(mesh.uses.get(name, name) for name in replaced)}); "
            "name them with --nats-url (as admin) and --mongodb-uri"
        )
    return Reach(
        nats_url=user_urls(ports["nats"], passwords_of(home))["admin"],
        mongodb_uri=mongo_uri(ports["mongo"]),
        running=True,
        place=str(home.root),
    )


def passwords_of(home: Home) -> dict[str, str]:
    """The passwords that the home's broker knows. Raises RefusedError."""
    try:
        kept: dict[str, str] = json.loads(home.secrets.read_text("utf-8"))
    except (OSError, ValueError):
        raise RefusedError(f"{home.secrets} cannot be read, and it holds the broker's passwords") from None
    return kept


def running(home: Home) -> MeshState | None:
    """The mesh that runs in this home; None when none does."""
    return read_state(home.state) if home.supervisor() is not None else None


@contextlib.contextmanager
def at_rest(home: Home) -> Iterator[Reach]:
    """Start the home's broker and database for as long as this lasts; nobody else may use the home meanwhile.
    Raises RefusedError."""
    home.prepare()
    with home.locked(), contextlib.ExitStack() as stack:
        try:
            passwords = kept_passwords(home.secrets, USER_NAMES)
            nats = start_nats(home.root, config=partial(_config, passwords))
            stack.callback(nats.stop)
            mongo = start_mongo(home.root)
            stack.callback(mongo.stop)
        except PartError as error:
            raise RefusedError(str(error)) from None
        yield Reach(
            nats_url=user_urls(nats.port, passwords)["admin"],
            mongodb_uri=mongo.url,
            running=False,
            place=str(home.root),
        )


def _config(passwords: dict[str, str], port: int, data: Path) -> str:
    return broker_config(port, 0, data, passwords)


@contextlib.contextmanager
def reach(home: Home, nats_url: str | None, mongodb_uri: str | None) -> Iterator[Reach]:
    """The first of: the addresses given, the mesh that runs in the home, the home at rest. Raises RefusedError."""
    given = by_addresses(nats_url, mongodb_uri)
    mesh = running(home)
    if given is not None:
        yield given
    elif mesh is not None:
        yield of_mesh(home, mesh)
    else:
        if not home.secrets.exists():
            raise RefusedError(
                f"there is nothing in {home.root}; name another folder with --home, or servers with --nats-url and "
                "--mongodb-uri"
            )
        with at_rest(home) as found:
            yield found
