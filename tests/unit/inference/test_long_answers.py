"""An answer of half an hour on a scaled clock: whatever the loop would sleep for is over at once."""

import asyncio
import selectors
from dataclasses import dataclass, field

from inference.agents.domain.config import read_agents
from inference.ports import Generated, ModelCall, Sink

from tests.unit.inference.workers import QUICK_EXECUTE, new_world

SECONDS = 30 * 60
AGENTS = read_agents(
    {
        "default.toml": f'name = "default"\nsystem_prompt = "Help."\n[limits]\nseconds = {2 * SECONDS}\ntokens = 1_000_000'
    }
)


class ScaledLoop(asyncio.SelectorEventLoop):
    """Its time is only what it would have waited for, so that a busy machine changes nothing."""

    def __init__(self) -> None:
        self.passed = 0.0
        super().__init__(_Skipping(self))

    def time(self) -> float:
        return self.passed


class _Skipping(selectors.SelectSelector):
    def __init__(self, loop: ScaledLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        self._loop.passed += max(0.0, timeout)
        return super().select(0)


@dataclass
class SlowModels:
    """A word each second."""

    calls: int = 0
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        self.calls += 1
        for number in range(SECONDS):
            await asyncio.sleep(1)
            sink.text(f"{number} ")
        self.said.set()
        return Generated(finish_reason="stop")


async def _answer() -> None:
    async with new_world() as world:
        models = SlowModels()
        for _ in range(2):
            await world.worker(models, agents=AGENTS)
        run = await world.run(seconds=2 * SECONDS)
        await models.said.wait()
        state = await run.ended()
        consumer = world.broker.consumers[QUICK_EXECUTE.stream, QUICK_EXECUTE.name]
        assert (state.status, state.attempt, models.calls) == ("complete", 1, 1)
        assert state.content == "".join(f"{number} " for number in range(SECONDS))
        assert consumer.consumer_sequence == 1


def test_half_an_hour_is_one_delivery() -> None:
    """Thousands of times ack_wait: the worker beats for it all the way."""
    loop = ScaledLoop()
    try:
        loop.run_until_complete(_answer())
        assert loop.time() >= SECONDS > 1000 * QUICK_EXECUTE.ack_wait
    finally:
        loop.close()
