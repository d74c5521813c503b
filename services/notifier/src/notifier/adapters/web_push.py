"""Web Push (RFC 8030, 8291, 8292): encrypted to the browser by pywebpush, signed with our VAPID key, sent only where that
may be: an endpoint is an address that a user chose."""

import base64
import binascii
import time
from pathlib import Path
from typing import Final

from contracts.devices import Device
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from egress.connector import Resolver, system_resolver
from egress.post import PostFailedError, PostRules, post
from egress.urls import UrlRefusedError
from py_vapid import Vapid02, VapidException  # type: ignore[import-untyped]  # the package has no types
from pywebpush import WebPusher, WebPushException  # type: ignore[import-untyped]  # likewise
from yarl import URL

from notifier.domain.push_messages import LONGEST
from notifier.ports import Reply

LIFE_SECONDS: Final = 24 * 3600
"""How long the push service keeps a message for a browser that is not there."""
TOKEN_SECONDS: Final = 12 * 3600


class KeyUnusableError(Exception):
    """The file holds no VAPID key; the sentence says what is wrong and how to make one."""


class WebPushService:
    """notifier.ports.PushService. `subject` is where a push service's operator finds us: mailto: or https:."""

    def __init__(self, key_file: Path, subject: str, rules: PostRules, resolver: Resolver = system_resolver) -> None:
        self._vapid = _key_in(key_file)
        self._subject = subject
        self._rules = rules
        self._resolver = resolver

    @property
    def public_key(self) -> str:
        """The key as browsers want it for `applicationServerKey`: base64url of the uncompressed point."""
        point = self._vapid.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    async def push(self, device: Device, payload: bytes, *, topic: str) -> Reply:
        """See the port."""
        try:
            body, headers = self._sealed(device, payload, topic)
        except (WebPushException, VapidException, ValueError, binascii.Error, TypeError, IndexError) as error:
            return Reply(0, f"The browser's keys are not usable ({type(error).__name__}).", refused=True)
        try:
            answer = await post(device.endpoint, body, headers, self._rules, self._resolver)
        except UrlRefusedError as error:
            return Reply(0, f"Nothing was sent: {error}.", refused=True)
        except PostFailedError as error:
            return Reply(0, f"No answer: {error}.")
        asked = {k.lower(): v for k, v in answer.headers.items()}.get("retry-after", "")
        wait = float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 0.0
        return Reply(answer.status, f"The push service answered {answer.status}.", retry_after=wait)

    def _sealed(self, device: Device, payload: bytes, topic: str) -> tuple[bytes, dict[str, str]]:
        if len(payload) > LONGEST:
            raise ValueError("the payload is too long")
        keys = {"p256dh": device.p256dh, "auth": device.auth}
        sealed = WebPusher({"endpoint": device.endpoint, "keys": keys}).encode(payload, "aes128gcm")
        audience = str(URL(device.endpoint).origin())
        claims = {"aud": audience, "sub": self._subject, "exp": int(time.time()) + TOKEN_SECONDS}
        headers = {
            **self._vapid.sign(claims),
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "ttl": str(LIFE_SECONDS),
            "topic": topic,
            "urgency": "normal",
        }
        return bytes(sealed["body"]), headers


def _key_in(file: Path) -> Vapid02:
    # Read here: the library would make a new key where there is no file, and every browser would have to ask again.
    try:
        text = file.read_text("utf-8")
        if "-----BEGIN" not in text:
            raise ValueError("it is no PEM file")
        key = Vapid02.from_pem(text.strip().encode())
        if key.public_key.curve.name != "secp256r1":
            raise ValueError(f"its curve is {key.public_key.curve.name}")
    except (OSError, ValueError, TypeError, VapidException) as error:
        raise KeyUnusableError(
            f"EVERTHREAD_VAPID_KEY_FILE {file} holds no VAPID key ({error}); make one with: openssl ecparam -genkey -noout"
            " -name prime256v1 | openssl pkcs8 -topk8 -nocrypt"
        ) from error
    return key
