"""When an unheard run is revived, failed or left alone."""

from datetime import UTC, datetime, timedelta

import pytest
from conversation.domain.acceptance import execute_command
from conversation.domain.entities import Run
from conversation.domain.revival import LONGEST_WAIT, decide, next_check

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = "run_01ARZ3NDEKTSV4RRFFQ69G5FAV"


def run(revivals: int = 0, deadline: timedelta = timedelta(minutes=30), path: str = "durable_event") -> Run:
    return Run(
        id=RUN,
        thread_id="thr_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        user_id="usr_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        question_id="q",
        message_id="a",
        model="m",
        path=path,
        status="pending",
        created_at=NOW,
        deadline_at=NOW + deadline,
        revivals=revivals,
    )


@pytest.mark.parametrize(
    ("found", "waiting", "decision"),
    [
        (run(), True, "wait"),
        (run(9, timedelta(days=-1)), True, "wait"),
        (run(), False, "revive"),
        (run(4), False, "revive"),
        (run(5), False, "fail"),
        (run(0, timedelta(minutes=-1)), False, "revive"),
        (run(0, timedelta(minutes=-3)), False, "fail"),
    ],
)
def test_a_run_without_a_command_is_revived_until_it_is_failed(found: Run, waiting: bool, decision: str) -> None:
    assert decide(found, NOW, command_waiting=waiting) == decision


@pytest.mark.parametrize("waiting", [True, False])
def test_a_legacy_run_is_never_started_again_and_fails_long_past_its_deadline(waiting: bool) -> None:
    assert decide(run(path="legacy_sync"), NOW, command_waiting=waiting) == "wait"
    late = run(deadline=timedelta(minutes=-3), path="legacy_sync")
    assert decide(late, NOW, command_waiting=waiting) == "fail"


def test_each_revival_waits_twice_as_long_up_to_a_bound() -> None:
    waits = [next_check(run(n), NOW, timedelta(minutes=1)) - NOW for n in range(6)]
    assert waits[:4] == [timedelta(minutes=2), timedelta(minutes=4), timedelta(minutes=8), timedelta(minutes=16)]
    assert waits[5] == LONGEST_WAIT


def test_each_revival_has_a_message_id_of_its_own_so_that_it_is_no_duplicate() -> None:
    first, again = execute_command(run()), execute_command(run().again(NOW))
    assert (first.message_id, again.message_id) == (f"{RUN}:execute", f"{RUN}:execute:1")
    assert first.payload == again.payload
