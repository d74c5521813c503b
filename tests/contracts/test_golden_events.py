"""The events on the wire: a change of shape that a running replica or a client could not read fails here."""

import json
from pathlib import Path
from typing import get_args

import pytest
from contracts.events import RunEvent, decode_event, encode_event

GOLDEN = [
    line for line in (Path(__file__).parent / "golden" / "events.jsonl").read_text("utf-8").splitlines() if line.strip()
]


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: json.loads(line)["type"])
def test_an_event_reads_and_writes_as_it_always_did(line: str) -> None:
    event = decode_event(line.encode())
    assert json.loads(encode_event(event)) == json.loads(line)


@pytest.mark.parametrize("line", GOLDEN, ids=lambda line: json.loads(line)["type"])
def test_a_field_from_a_newer_worker_is_ignored(line: str) -> None:
    newer = json.loads(line) | {"from_the_future": {"a": 1}}
    assert decode_event(json.dumps(newer).encode()) == decode_event(line.encode())


def test_every_event_type_has_a_golden_line() -> None:
    tags = {event.__struct_config__.tag for event in get_args(RunEvent)}
    assert {json.loads(line)["type"] for line in GOLDEN} == tags
