"""The WebSocket's messages and tickets, without a socket."""

import pytest
from contracts.codes import Code
from gateway.domain import socket_frames as frames
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.tickets import TICKET_SECONDS, TICKETS_PER_USER, Tickets

ALICE = Principal("usr_alice", "user", 4e9)


def test_events_keep_their_bytes_and_an_event_without_an_id_has_no_cursor() -> None:
    piece = b'id: 7-1\nevent: text.delta\ndata: {"delta": "a: \\n\\n",  "b":1.0}\n\nevent: x\ndata: {}\n\n'
    assert frames.events('s"1', piece) == [
        '{"type":"event","id":"s\\"1","cursor":"7-1","event":{"delta": "a: \\n\\n",  "b":1.0}}',
        '{"type":"event","id":"s\\"1","event":{}}',
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type":"subscribe","id":"s"}',
        '{"type":"subscribe","id":"","feed":true}',
        '{"type":"subscribe","id":"s","feed":true,"more":1}',
        '{"type":"send","id":"s","thread":"t","content":"\\ud800"}',
        "[" * 100_000,
        '"' + "\ud800" + '"',
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as refused:
        frames.command_of(text)
    assert refused.value.code is Code.BODY_INVALID
    assert frames.id_of(text) in ("", "s")


def test_a_ticket_is_good_once_and_for_a_while() -> None:
    tickets = Tickets()
    tickets.issue(ALICE, "one", 0)
    tickets.issue(ALICE, "two", 0)
    assert tickets.redeem("one", TICKET_SECONDS - 1) is ALICE
    for used_or_old in ("one", "two"):
        with pytest.raises(Refusal):
            tickets.redeem(used_or_old, TICKET_SECONDS)


def test_tickets_do_not_pile_up() -> None:
    tickets = Tickets()
    for number in range(TICKETS_PER_USER):
        tickets.issue(ALICE, str(number), 0)
    with pytest.raises(Refusal) as refused:
        tickets.issue(ALICE, "one more", 1)
    assert refused.value.code is Code.LIMIT_REACHED
    assert tickets.issue(ALICE, "later", TICKET_SECONDS) == "later"
