"""Facts about what administrators and the guard of the rollout changed, on AUDIT: for audits, and for alerts to hear."""

import msgspec


class RolloutChanged(msgspec.Struct, tag_field="type", tag="rollout.changed", kw_only=True, omit_defaults=True):
    """The rollout was changed. `id` is unique and the `Nats-Msg-Id`; `by` is a user's id or `guard`; `at` is RFC 3339 UTC.

    `change` is `advanced` or `rolled_back` (the guard), `set`, `shadowed`, `killed`, `paused`, `resumed` or `edited` (a person; the
    last by a definition of their own). `revision` is the flag definition's, 0 where that did not change; `share` is the
    percentage of the users on durable_event after the change, missing where no percentage decides.
    """

    id: str
    change: str
    by: str
    at: str
    why: str
    revision: int = 0
    share: int | None = None


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[RolloutChanged] = msgspec.json.Decoder(RolloutChanged)


def encode_change(change: RolloutChanged) -> bytes:
    """The bytes that go onto AUDIT."""
    return _encoder.encode(change)


def decode_change(data: bytes) -> RolloutChanged:
    """Read one back; unknown fields are ignored; raises msgspec.ValidationError."""
    return _decoder.decode(data)
