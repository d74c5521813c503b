"""What needs the database is given back while that is away: it must not end as a dead letter before the database is there again,
and must not wait long where the process that had it has died."""

import pytest
from contracts import topology
from contracts.topology import Consumer
from conversation.entrypoints import append_subscriber, due_subscriber, record_subscriber, wake_subscriber
from inference.entrypoints import document_commands

RETRIED = [
    (topology.APPEND, append_subscriber.RETRY_SECONDS),
    (topology.RECORD, record_subscriber.RETRY_SECONDS),
    (topology.WAKE, wake_subscriber.RETRY_SECONDS),
    (topology.DUE, due_subscriber.RETRY_SECONDS),
    (topology.READ, document_commands.UNAVAILABLE_RETRY),
]


@pytest.mark.parametrize(("consumer", "retry"), RETRIED, ids=[consumer.name for consumer, _ in RETRIED])
def test_the_database_may_be_away_for_half_an_hour(consumer: Consumer, retry: float) -> None:
    assert consumer.max_deliver * retry >= 1800


@pytest.mark.parametrize("consumer", [topology.RECORD, topology.WAKE, topology.DUE, topology.EXECUTE, topology.FEED])
def test_what_a_dead_process_had_in_hand_comes_again_soon(consumer: Consumer) -> None:
    """A queued message, an answered question and a timer wait for it."""
    assert consumer.ack_wait <= 10
