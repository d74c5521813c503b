"""Servers that replace embedded parts: is each one good enough to run on? One sentence when it is not."""

import re
from urllib.parse import urlsplit, urlunsplit

from contracts.topology import MINIMUM_SERVER

from everthread.embedded import nats_info
from everthread.errors import RefusedError

_NATS_PORT = 4222


def check_nats(urls: str) -> str:
    """The version of the NATS server that one of `urls` (comma-separated) reaches. Raises RefusedError."""
    info: dict[str, object] = {}
    for url in filter(None, (url.strip() for url in urls.split(","))):
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            info = nats_info(parts.hostname or "", parts.port or _NATS_PORT)
        except ValueError:
            # A port that is none, half of an IPv6 address, a name that cannot be one.
            raise RefusedError(
                f"NATS_URL ({without_secret(url)}) has no usable port or no usable host; write nats://host:4222"
            ) from None
        if info:
            break
    if not info:
        raise RefusedError(
            f"no NATS server answers at NATS_URL ({without_secret(urls)}); start it, or unset NATS_URL for the embedded one"
        )
    version = str(info.get("version", "0"))
    if server_version(version) < MINIMUM_SERVER:
        needed = ".".join(str(number) for number in MINIMUM_SERVER)
        raise RefusedError(
            f"the NATS server at NATS_URL is {version}, and the run log needs {needed} or newer; upgrade it, or unset NATS_URL"
        )
    if info.get("jetstream") is not True:
        raise RefusedError("the NATS server at NATS_URL has no JetStream; switch it on, or unset NATS_URL")
    return version


def server_version(text: str) -> tuple[int, int, int]:
    """`2.12.1-RC.1` as (2, 12, 1); what is no version is (0, 0, 0)."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def check_mongo(uri: str) -> str:
    """What the MongoDB at `uri` is: its replica set's name, or `sharded`. Raises RefusedError."""
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    try:
        client: MongoClient[dict[str, object]] = MongoClient(
            uri, serverSelectionTimeoutMS=5000, appname="everthread-up"
        )
        try:
            hello = client.admin.command("hello")
        finally:
            client.close()
    except (PyMongoError, ValueError, OSError) as error:
        # What is wrong with the address itself comes as any of them: a port that is none, a file of certificates that is not there.
        said = f"{error.strerror}: {error.filename}" if isinstance(error, FileNotFoundError) else str(error)
        reason = re.split(r"[,(\n]", said, maxsplit=1)[0].strip().rstrip(".")
        raise RefusedError(
            f"MongoDB at MONGODB_URI ({without_secret(uri)}) cannot be used: {reason}; start it, or unset MONGODB_URI for the embedded one"
        ) from None
    if hello.get("msg") == "isdbgrid":
        return "sharded"
    if "setName" not in hello:
        raise RefusedError(
            "the MongoDB at MONGODB_URI is no replica set, so it has no transactions; run rs.initiate() on it, or unset MONGODB_URI"
        )
    return str(hello["setName"])


def without_secret(url: str) -> str:
    """The address without user and password, for messages."""
    shown = []
    for one in url.split(","):
        try:
            parts = urlsplit(one.strip() if "://" in one else f"//{one.strip()}")
        except ValueError:
            shown.append("(no address)")
            continue
        host = parts.netloc.rpartition("@")[2]
        shown.append(urlunsplit((parts.scheme, host, parts.path, "", "")).removeprefix("//"))
    return ",".join(shown)
