"""An entry read by direct get: what the server says of it, whatever headers it was stored with."""

import pytest
from bus.errors import BusError
from bus.jetstream.client import Message, server_header
from bus.jetstream.direct_get import SEQUENCE, TIME_STAMP, entry_of

STORED = (
    b"NATS/1.0\r\nNats-Msg-Id: run_1:7:3\r\nNats-Sequence: 1\r\nNats-Subject: run.forged\r\n"
    b"Nats-Stream: RUNS\r\nNats-Subject: run.thr_1.run_1.event\r\nNats-Sequence: 4711\r\n"
    b"Nats-Time-Stamp: 2026-11-21T17:00:00.5Z\r\nNats-Num-Pending: 3\r\nNats-Last-Sequence: 4700\r\n\r\n"
)


def test_what_the_server_wrote_counts_and_not_what_the_publisher_did() -> None:
    entry = entry_of(Message("_INBOX.1", "", b"data", STORED))
    assert (entry.subject, entry.stream_sequence, entry.data) == ("run.thr_1.run_1.event", 4711, b"data")
    assert entry.stored_at == 1795280400.5


def test_an_entry_without_a_time_has_none() -> None:
    block = STORED.replace(b"Nats-Time-Stamp: 2026-11-21T17:00:00.5Z\r\n", b"")
    assert server_header(block, TIME_STAMP) is None
    assert entry_of(Message("_INBOX.1", "", b"", block)).stored_at == 0.0


def test_only_whole_names_at_the_beginning_of_a_line_are_headers() -> None:
    block = b"NATS/1.0\r\nOther-Nats-Sequence: 1\r\nWord: Nats-Sequence: 2\r\n\r\n"
    assert server_header(block, SEQUENCE) is None
    with pytest.raises(BusError, match="no stored message"):
        entry_of(Message("_INBOX.1", "", b"", block))
