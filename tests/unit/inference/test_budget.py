"""Setting money aside for calls: never more than the limit in all, whatever the order."""

from contracts.budgets import DaySpending
from hypothesis import given
from hypothesis import strategies as st
from inference.domain.budget import RESERVATION_SECONDS, call_key, correct, reserve, settle

LIMIT = 1_000


def test_a_call_gets_half_of_what_is_left_and_the_same_again() -> None:
    day = DaySpending()
    assert reserve(day, "a", 10, limit=LIMIT, now=0) == 500
    assert reserve(day, "a", 10, limit=LIMIT, now=0) == 500
    assert reserve(day, "b", 10, limit=LIMIT, now=0) == 250
    assert day.taken == 750


def test_near_the_end_a_call_gets_what_is_there() -> None:
    day = DaySpending(spent=970)
    assert reserve(day, "a", 10, limit=LIMIT, now=0) == 30
    assert reserve(day, "b", 1, limit=LIMIT, now=0) == 0


def test_a_call_that_would_not_even_pay_for_its_input_is_not_made() -> None:
    day = DaySpending(spent=995)
    assert reserve(day, "a", 10, limit=LIMIT, now=0) == 0
    assert not day.reserved


def test_settling_gives_back_the_rest_once() -> None:
    day = DaySpending()
    reserve(day, "a", 10, limit=LIMIT, now=0)
    assert settle(day, "a", 20)
    assert not settle(day, "a", 20)
    assert (day.spent, day.taken) == (20, 20)


def test_a_call_that_is_made_again_is_settled_again() -> None:
    day = DaySpending()
    reserve(day, "a", 10, limit=LIMIT, now=0)
    assert settle(day, "a", 0), "its prefix was refused"
    assert reserve(day, "a", 10, limit=LIMIT, now=1) == 500
    assert settle(day, "a", 20)
    assert not settle(day, "a", 20)
    assert (day.spent, day.taken) == (20, 20)


def test_who_takes_over_has_the_last_word_on_what_a_call_cost() -> None:
    day = DaySpending()
    reserve(day, "a", 10, limit=LIMIT, now=0)
    correct(day, "a", 30)
    assert not settle(day, "a", 20), "its worker was only stopped"
    reserve(day, "b", 10, limit=LIMIT, now=0)
    assert settle(day, "b", 20)
    correct(day, "b", 5)
    assert (day.spent, day.taken) == (35, 35)
    for number in range(100):
        settle(day, str(number), 1)
    assert (day.spent, len(day.costs)) == (135, 64)


def test_what_a_dead_worker_had_set_aside_is_free_for_whoever_took_its_run_over() -> None:
    day = DaySpending()
    first, second = call_key("run_a", 1, 1, "openai:small"), call_key("run_a", 1, 2, "openai:small")
    another = call_key("run_b", 1, 1, "openai:small")
    assert reserve(day, first, 10, limit=LIMIT, now=0) == 500
    assert reserve(day, another, 10, limit=LIMIT, now=0) == 250
    # It died before its call began, so that nobody will settle it.
    assert reserve(day, second, 10, limit=LIMIT, now=1) == 375
    assert set(day.reserved) == {another, second}
    # The first one's worker was only stopped: what it did is counted.
    assert settle(day, first, 20)
    assert (day.spent, day.taken) == (20, 20 + 250 + 375)


def test_what_nobody_settled_counts_as_spent() -> None:
    day = DaySpending()
    held = reserve(day, "a", 10, limit=LIMIT, now=0)
    reserve(day, "b", 10, limit=LIMIT, now=RESERVATION_SECONDS)
    assert day.spent == held


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.integers(0, 400), st.floats(0, 1), st.floats(0, 5 * 3600)), max_size=60
    )
)
def test_calls_that_keep_to_what_they_were_given_never_exceed_the_limit(
    calls: list[tuple[str, int, float, float]],
) -> None:
    day, under_way, now = DaySpending(), dict[str, int](), 0.0
    for number, (name, estimate, share, wait) in enumerate(calls):
        now += wait
        if name in under_way:
            allowed = under_way.pop(name)
            settle(day, f"{name}-{number}", 0)
            settle(day, name, int(allowed * share))
            day.costs.clear()
        else:
            allowed = reserve(day, name, estimate, limit=LIMIT, now=now)
            assert allowed == 0 or allowed >= estimate
            under_way = {key: value for key, value in under_way.items() if key in day.reserved}
            if allowed:
                under_way[name] = allowed
        assert day.taken <= LIMIT
