"""What the console warns of."""

from contracts.processes import Heartbeat, Kind
from contracts.topology import CONSUMERS
from gateway.domain.console import consumers_of, warnings_of

AT = "2026-11-21T03:17:47.123Z"


def process(kind: Kind) -> Heartbeat:
    return Heartbeat(name=f"{kind}-1", kind=kind, version="1", started_at=AT, seen_at=AT)


def test_every_consumer_is_taken_from_by_one_kind_of_process() -> None:
    kinds = ("gateway", "conversation", "inference", "notifier")
    assert sorted(name for kind in kinds for name in consumers_of(kind)) == sorted(c.name for c in CONSUMERS)


def test_a_kind_that_is_missing_is_named_with_what_waits_for_it() -> None:
    there = [process("conversation"), process("notifier")]
    assert warnings_of(there, {"inference-execute": 1, "conversation-record": 9}) == [
        "No inference process is heard: nobody takes from inference-execute, inference-read; 1 item waits."
    ]
    assert warnings_of([*there, process("inference")], {"inference-execute": 400}) == []
