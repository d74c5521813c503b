"""Let a browser be told when nobody is looking."""

import base64
import binascii
from datetime import datetime
from typing import Final

from contracts.codes import Code
from contracts.devices import Device
from contracts.ids import DEVICE, derived_id
from contracts.times import rfc3339
from egress.urls import UrlRefusedError, check_url

from gateway.domain.problems import Refusal
from gateway.notice_ports import Notices

MOST_DEVICES: Final = 20
_POINT_BYTES: Final = 65
_AUTH_BYTES: Final = 16


async def subscribe_browser(
    notices: Notices, user_id: str, *, endpoint: str, p256dh: str, auth: str, with_text: bool, now: datetime
) -> Device:
    """Store or renew the browser's subscription. Raises Refusal."""
    if not await notices.browsers.key():
        raise Refusal(Code.NOT_FOUND, "Nothing is pushed to browsers here: the operator has set no VAPID key.")
    try:
        check_url(endpoint, insecure=notices.insecure, allowed=notices.allowed)
    except UrlRefusedError as error:
        raise Refusal(Code.PUSH_INVALID, f"The endpoint is refused: {error}.") from error
    point, secret = _decoded(p256dh), _decoded(auth)
    if len(point) != _POINT_BYTES or point[0] != 4 or len(secret) != _AUTH_BYTES:
        raise Refusal(Code.PUSH_INVALID, "keys.p256dh or keys.auth is not what a browser's PushSubscription has.")
    device = Device(
        id=device_id_of(endpoint),
        endpoint=endpoint,
        p256dh=p256dh,
        auth=auth,
        with_text=with_text,
        created_at=rfc3339(now),
    )
    known = await notices.browsers.of(user_id)
    if len(known) >= MOST_DEVICES and device.id not in {other.id for other in known}:
        raise Refusal(Code.LIMIT_REACHED, f"{MOST_DEVICES} browsers are told already; remove one first.")
    await notices.browsers.add(user_id, device)
    return device


def device_id_of(endpoint: str) -> str:
    """The same browser always has the same id."""
    return derived_id(DEVICE, endpoint)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
