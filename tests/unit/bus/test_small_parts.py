"""The pure pieces of the bus."""

import json

import pytest
from bus.api import Claim, Entry
from bus.claims import encode_claim, event_message_id, holder_of, snapshot_message_id
from bus.errors import ServerTooOldError
from bus.filters import is_literal, matches
from bus.handling import retry_delay, shortest_lease
from bus.jetstream.client import Message
from bus.jetstream.connection import address_of, inbox_prefix_of
from bus.jetstream.death_notices import DeathNotice, read_notice
from bus.jetstream.reconcile import check_version, consumer_config, stream_config
from bus.letters import REASON, dead_letter_headers
from contracts import topology
from nats.aio.client import Client


@pytest.mark.parametrize(
    ("subject_filter", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a", False),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("run.*.*.event", "run.t.r.event", True),
        ("run.*.*.event", "run.t.r.claim", False),
    ],
)
def test_filters(subject_filter: str, subject: str, expected: bool) -> None:
    assert matches(subject_filter, subject) is expected


def test_literal_filters() -> None:
    assert is_literal("run.t.r.event")
    assert not is_literal("run.t.*.event")
    assert not is_literal("run.>")


def test_a_claim_reads_back_as_its_holder() -> None:
    data = encode_claim(worker="w", attempt=3, delivery="$JS.ACK.x")
    holder = holder_of(Entry("run.t.r.claim", data, 17))
    assert (holder.worker, holder.attempt, holder.fence, holder.delivery, holder.released) == (
        "w",
        3,
        17,
        "$JS.ACK.x",
        False,
    )


def test_message_ids_differ_by_claim_sequence_and_kind() -> None:
    first = Claim(thread_id="t", run_id="r", worker="w", attempt=1, fence=5)
    second = Claim(thread_id="t", run_id="r", worker="w", attempt=2, fence=9)
    made = [event_message_id(first, 1), event_message_id(first, 2), event_message_id(second, 1)]
    assert len({*made, snapshot_message_id(first, 1)}) == 4


def test_an_old_server_is_refused_in_one_sentence() -> None:
    check_version(topology.MINIMUM_SERVER)
    check_version((3, 0, 0))
    with pytest.raises(
        ServerTooOldError, match=r"nats-server 2\.11\.9 is too old: the run log needs 2\.12\.0 or newer"
    ):
        check_version((2, 11, 9))


def test_the_inbox_is_the_users_own() -> None:
    assert inbox_prefix_of("nats://gateway:secret@127.0.0.1:4222") == "_INBOX_gateway"
    assert inbox_prefix_of("nats://127.0.0.1:4222") == "_INBOX"


def test_addresses_hide_secrets() -> None:
    assert address_of("nats://gateway:secret@127.0.0.1:4222") == "127.0.0.1:4222"


@pytest.mark.parametrize(
    ("reason", "messages", "is_certain"),
    [
        ("Client Closed", 1, True),
        ("Read Error", 12, True),
        ("Client Closed", 0, False),
        ("Stale Connection", 12, False),
        ("Slow Consumer (Pending Bytes)", 12, False),
        ("", 12, False),
    ],
)
def test_death_notices_name_the_client_and_how_sure_they_are(reason: str, messages: int, is_certain: bool) -> None:
    event = {"client": {"name": "inference-1-X"}, "received": {"msgs": messages, "bytes": 9}, "reason": reason}
    assert read_notice(json.dumps(event).encode()) == DeathNotice("inference-1-X", is_certain)
    for odd in (b"", b"[]", b"{}", b'{"client": {}}', b'{"client": null}', b'{"client": {"name": null}}'):
        assert read_notice(odd) is None


def test_backoff_is_the_consumers_else_jittered() -> None:
    stepped = topology.Consumer(name="c", stream="S", filter="s", why="", ack_wait=30, backoff=(1.0, 5.0))
    assert [retry_delay(stepped, delivered) for delivered in (1, 2, 3, 9)] == [1.0, 5.0, 5.0, 5.0]
    assert shortest_lease(stepped) == 1.0
    assert all(0 < retry_delay(topology.FEED, delivered) <= 30 for delivered in range(1, 60))


def test_a_reason_is_one_bounded_line() -> None:
    headers = dead_letter_headers(
        reason="a\r\nb " + "x" * 1000, stream="S", consumer="c", subject="s", stream_sequence=1, delivered=1
    )
    assert headers[REASON].startswith("a b xxx")
    assert len(headers[REASON]) == 500


def test_the_server_gets_nanoseconds_and_every_flag() -> None:
    config = stream_config(topology.RUNS, 3)
    assert config["max_age"] == 7 * 24 * 3600 * 10**9
    assert (config["num_replicas"], config["discard"], config["allow_direct"]) == (3, "new", True)
    assert config["republish"] == {"src": ">", "dest": "live.>"}
    assert "republish" not in stream_config(topology.COMMANDS, 1)
    assert consumer_config(topology.EXECUTE, 1)["ack_wait"] == topology.EXECUTE.ack_wait * 10**9


@pytest.mark.parametrize(
    "block",
    [
        b"NATS/1.0\r\nNats-Msg-Id: a:b\r\nNats-Sequence:7\r\n\r\n",
        b"NATS/1.0\r\nName:\tvalue \r\nUmlaut: \xc3\xa4\r\nBroken: \xff\r\n\r\n",
        b"NATS/1.0\r\nno colon\r\nwith space : kept: x\r\nin side: y\r\n\xc3\xa4: z\r\n\r\n",
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 404 No Messages\r\n\r\n",
        b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n",
        b"",
    ],
)
async def test_headers_are_read_as_nats_py_reads_them(block: bytes) -> None:
    assert Message("s", "", b"", block).headers == await Client()._process_headers(block)
