"""Clients' names for chats and runs, and what a client that comes back is owed."""

import pytest
from contracts.ids import THREAD, check_id
from gateway.domain.chat_ids import run_of_name, stored_message_of, thread_of_chat
from gateway.domain.deliveries import MOST, Deliveries

from tests.run_logs import MESSAGE, RUN
from tests.run_logs import THREAD as THREAD_ID

ALICE, BOB = "usr_01JABCDEFGHJKMNPQRSTVWXYZ0", "usr_01JABCDEFGHJKMNPQRSTVWXYZ1"


@pytest.mark.parametrize("name", ["a", "../x", "a.b.>", "ü" * 300, ""])
def test_a_chat_is_one_users_thread(name: str) -> None:
    alices = thread_of_chat(ALICE, "ai_sdk", name)
    assert check_id(THREAD, alices) == alices
    others = {thread_of_chat(BOB, "ai_sdk", name), thread_of_chat(ALICE, "agui", name)}
    assert alices not in others
    assert alices == thread_of_chat(ALICE, "ai_sdk", name)


def test_our_own_ids_stand_for_themselves() -> None:
    assert thread_of_chat(ALICE, "ai_sdk", THREAD_ID) == THREAD_ID
    assert run_of_name(RUN) == (RUN, 0)
    assert run_of_name(f"{RUN}.2") == (RUN, 2)
    assert [run_of_name(name) for name in ("chat", f"{RUN}.", f"{RUN}.x", f"{RUN}.-1", f"{RUN}.1000000")] == [None] * 5
    assert [stored_message_of(name) for name in (MESSAGE, f"{MESSAGE}-3", "msg_x", f"{MESSAGE}-", "")] == [
        MESSAGE,
        MESSAGE,
        "",
        "",
        "",
    ]


def test_who_was_cut_off_is_owed_the_answer() -> None:
    deliveries = Deliveries()
    deliveries.note("cut", whole=False, now=100)
    deliveries.note("whole", whole=True, now=100)
    assert deliveries.is_owed("cut", ended_seconds_ago=300, now=400)
    assert not deliveries.is_owed("whole", ended_seconds_ago=1, now=101)
    deliveries.note("cut", whole=True, now=401)
    assert not deliveries.is_owed("cut", ended_seconds_ago=301, now=402)


def test_an_unknown_answer_is_sent_again_for_a_moment() -> None:
    deliveries = Deliveries()
    assert deliveries.is_owed("run", ended_seconds_ago=5, now=0)
    assert not deliveries.is_owed("run", ended_seconds_ago=500, now=0)


def test_what_is_remembered_is_bounded() -> None:
    deliveries = Deliveries()
    for number in range(MOST + 5):
        deliveries.note(str(number), whole=False, now=0)
    assert not deliveries.is_owed("0", ended_seconds_ago=500, now=1)
    assert deliveries.is_owed(str(MOST), ended_seconds_ago=500, now=1)
