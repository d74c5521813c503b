"""Browsers that asked to be told when nobody is looking (Web Push), kept on KV_devices. An empty value: it was taken back."""

from typing import Final

import msgspec


class Device(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Where one browser is reached, as its PushSubscription says, and whether it may be told text. `p256dh` and `auth` are
    base64url: only the browser can read what is encrypted to them."""

    id: str
    endpoint: str
    p256dh: str
    auth: str
    with_text: bool = False
    created_at: str = ""


encode: Final = msgspec.json.Encoder().encode
_device: Final = msgspec.json.Decoder(Device)


def decode_device(data: bytes) -> Device | None:
    """Read it back, None for one that was taken back; raises msgspec.MsgspecError."""
    return _device.decode(data) if data else None
