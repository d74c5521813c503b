"""Whoever waits for what is shown to be stored looks a few times, not without end."""

from gateway.handlers.wait_recorded import PAUSES, SECONDS, wait_recorded


class Looks:
    """Finds something at the look numbered `at`."""

    def __init__(self, at: int) -> None:
        self.at, self.made = at, 0

    async def __call__(self) -> str | None:
        self.made += 1
        return "found" if self.made == self.at else None


async def test_it_is_found_as_soon_as_it_is_there() -> None:
    for at in (1, 2, 4):
        looks = Looks(at)
        assert (await wait_recorded(looks, (0, 0, 0)), looks.made) == ("found", at)


async def test_it_gives_up_after_a_few_looks() -> None:
    looks = Looks(0)
    assert (await wait_recorded(looks, tuple(0 for _ in PAUSES)), looks.made) == (None, len(PAUSES) + 1)
    assert len(PAUSES) < 15, "each is a request to conversation that no budget of messages counts"
    assert SECONDS * 0.9 < sum(PAUSES) < SECONDS
