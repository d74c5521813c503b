"""What one user may take."""

from gateway.domain.budgets import MessageBudget, StreamBudget
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.floats(0, 5), max_size=200), st.floats(0.1, 10), st.integers(1, 20))
def test_no_more_than_the_burst_and_the_rate(pauses: list[float], per_second: float, burst: int) -> None:
    budget = MessageBudget(per_second=per_second, burst=burst)
    now, taken = 1000.0, 0
    for pause in pauses:
        now += pause
        wait = budget.take("ada", now)
        assert wait >= 0
        taken += wait == 0
        assert taken <= burst + (now - 1000) * per_second + 1e-6
        if wait:
            now += wait + 1e-6
            assert budget.take("ada", now) == 0, "there is one after the wait that was told"
            taken += 1


def test_users_do_not_take_from_each_other() -> None:
    budget = MessageBudget(per_second=1, burst=1)
    assert budget.take("ada", 0) == 0
    assert budget.take("ada", 0) == 1
    assert budget.take("bob", 0) == 0


def test_full_buckets_are_forgotten() -> None:
    budget = MessageBudget(per_second=1, burst=2)
    for number in range(1000):
        budget.take(f"user {number}", 100)
    budget.take("ada", 200)
    assert len(budget._buckets) == 1


def test_streams_are_counted_while_open() -> None:
    budget = StreamBudget(per_user=2)
    assert [budget.enter("ada") for _ in range(3)] == [True, True, False]
    assert budget.enter("bob")
    budget.leave("ada")
    assert budget.enter("ada")
    for user in ("ada", "ada", "bob"):
        budget.leave(user)
    assert budget._open == {}
