"""What a claim entry holds, and the message ids of a run's entries."""

import msgspec

from bus.api import Claim, Entry, Holder


class _ClaimEntry(msgspec.Struct, kw_only=True):
    worker: str
    attempt: int
    delivery: str
    released: bool = False


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_ClaimEntry)


def encode_claim(*, worker: str, attempt: int, delivery: str, released: bool = False) -> bytes:
    """The bytes of a claim entry."""
    return _encoder.encode(_ClaimEntry(worker=worker, attempt=attempt, delivery=delivery, released=released))


def holder_of(entry: Entry) -> Holder:
    """Read a claim entry, from the past or live; raises msgspec.ValidationError."""
    claim = _decoder.decode(entry.data)
    return Holder(
        worker=claim.worker,
        attempt=claim.attempt,
        fence=entry.stream_sequence,
        delivery=claim.delivery,
        released=claim.released,
    )


def event_message_id(claim: Claim, sequence: int) -> str:
    """One id per claim and run sequence: a re-send is stored once, another worker's entry is another entry."""
    return f"{claim.run_id}:{claim.fence}:{sequence}"


def snapshot_message_id(claim: Claim, sequence: int) -> str:
    """Likewise for the snapshot after the event numbered `sequence`."""
    return f"{claim.run_id}:{claim.fence}:snapshot:{sequence}"
