"""Web Push from the fact to a push service that decrypts, as a browser would."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import http_ece  # type: ignore[import-untyped]  # the package has no types
from aiohttp import web
from bus.jetstream import JetStreamBus
from contracts.ids import USER, new_id
from contracts.presence import Presence, encode_presence
from contracts.subjects import presence_subject
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from gateway.handlers.subscribe_browser import subscribe_browser
from py_vapid import Vapid02  # type: ignore[import-untyped]  # likewise

from tests.integration.notifier.conftest import Notifier
from tests.integration.notifier.world import DEVELOPMENT, Got, Server, ended, notices, say, until

AUTH = b"0123456789abcdef"


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_browsers_are_told_what_they_may_know(
    bus: JetStreamBus, notifiers: list[Notifier], server: Server, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "vapid.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    notifier = notifiers[0]
    notifier.environment = DEVELOPMENT | {"EVERTHREAD_VAPID_KEY_FILE": str(file)}
    await notifier.start()
    behind = notices(bus)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert await behind.browsers.key() == text(point)

    browser = ec.generate_private_key(ec.SECP256R1())
    p256dh = text(browser.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    owner = new_id(USER)

    async def subscribe(user: str, name: str, *, with_text: bool = False) -> None:
        await subscribe_browser(
            behind,
            user,
            endpoint=f"{server.base}/{name}",
            p256dh=p256dh,
            auth=text(AUTH),
            with_text=with_text,
            now=datetime.now(UTC),
        )

    def opened(got: Got) -> dict[str, str]:
        assert got.headers["content-encoding"] == "aes128gcm"
        assert got.headers["authorization"].endswith(f"k={text(point)}")
        assert Vapid02.verify(got.headers["authorization"])
        plain: dict[str, str] = json.loads(http_ece.decrypt(got.body, private_key=browser, auth_secret=AUTH))
        return plain

    async def gone(_: Got) -> web.Response:
        return web.Response(status=410)

    server.answers["gone"] = gone
    await subscribe(owner, "plain")
    await subscribe(owner, "text", with_text=True)
    await subscribe(owner, "gone")
    fact = ended()
    fact.user_id, fact.preview = owner, "It is raining."
    await say(bus, fact)
    await until(lambda: {"plain", "text", "gone"} <= server.got.keys())
    told = opened(server.got["plain"][0])
    assert (told["type"], told["thread_id"], told["run_id"]) == ("run.completed", fact.thread_id, fact.run_id)
    assert "raining" not in json.dumps(told)
    assert opened(server.got["text"][0])["text"] == "It is raining."
    async with asyncio.timeout(10):
        while len(await behind.browsers.of(owner)) != 2:
            await asyncio.sleep(0.02)

    # Somebody who watches is not told; another member of the thread is. A browser that somebody else uses now is theirs.
    other = new_id(USER)
    await subscribe(other, "text")
    watched = ended()
    watched.user_id, watched.audience = owner, [owner, other]
    now = datetime.now(UTC).isoformat()
    place = presence_subject(watched.thread_id, owner, "gateway-1")
    await bus.publish(place, encode_presence(Presence(at=now, connections=1)), message_id="present")
    await say(bus, watched)
    await until(lambda: len(server.got["text"]) == 2)
    assert opened(server.got["text"][1]).keys() == {"type", "thread_id", "run_id", "event_id"}
    assert len(server.got["plain"]) == 1
    assert len(server.got["gone"]) == 1
    assert await notifier.stop() == 0, notifier.log()
