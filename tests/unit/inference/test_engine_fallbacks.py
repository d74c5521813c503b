"""Another model where one cannot be had, as long as nothing of the step was shown; a provider that fails is left alone."""

import asyncio
import time

import pytest
from contracts import events as e
from contracts.codes import RunFailure
from inference.adapters.breaking_models import BreakingModels
from inference.domain.upstream_errors import UpstreamError, error_of_status, incomplete, refused, unavailable
from inference.ports import Generated, ModelCall, Sink

from tests.unit.inference.scripted import INPUT_TOKENS, ScriptedModels, ToolCalls, ToolsByHand, agents_of
from tests.unit.inference.test_attempts import check_one_end
from tests.unit.inference.workers import FakeModels, Run, World, registry
from tests.upstream import expected_text

AGENTS = agents_of(careful='fallbacks = ["other:model"]\ntools = ["*"]')


async def begin(world: World, models: ScriptedModels | FakeModels, content: str = "tokens=4") -> Run:
    world.inputs.content = content
    await world.worker(models, agents=AGENTS, tools=ToolsByHand(ToolCalls().tools(world.clock.now), AGENTS))
    return await world.run(agent="careful")


@pytest.mark.parametrize(
    "errors",
    [
        [unavailable("is away")] * 2,
        [error_of_status(429, retry_after=30)],
        [error_of_status(404)],
        [error_of_status(400, said="maximum context length")],
        [incomplete("broke off")] * 2,
    ],
    ids=["away", "limited", "unknown", "too_long", "cut"],
)
async def test_the_next_model_answers_in_the_same_step(world: World, errors: list[Exception]) -> None:
    models = ScriptedModels(errors={"fake:model": list(errors)})
    run = await begin(world, models)
    state = await run.ended()
    check_one_end(state, await run.events())
    assert (state.status, state.content) == ("complete", expected_text("tokens=4"))
    started = [event for event in await run.events() if isinstance(event, e.StepStarted)]
    assert [(event.step, event.name) for event in started] == [(1, "fake:model"), (1, "other:model")]
    assert [(entry.step, entry.model) for entry in state.ledger] == [(1, "other:model")]
    assert state.cost_microusd == INPUT_TOKENS + 2 * 4
    assert [call.model.id for call in models.calls] == ["fake:model"] * len(errors) + ["other:model"]


async def test_the_first_model_is_asked_again_at_the_next_step(world: World) -> None:
    models = ScriptedModels(errors={"fake:model": [error_of_status(404)]})
    run = await begin(world, models, 'call=note:{"text":"a"} then tokens=2')
    state = await run.ended()
    assert [(entry.step, entry.model) for entry in state.ledger] == [(1, "other:model"), (3, "fake:model")]


async def test_not_after_a_word_was_shown(world: World) -> None:
    run = await begin(world, FakeModels(errors=[incomplete("fell silent")], error_after=9))
    state = await run.ended()
    assert (state.error_code, [entry.model for entry in state.ledger]) == (
        RunFailure.UPSTREAM_INCOMPLETE,
        ["fake:model"],
    )


async def test_not_for_a_refusal(world: World) -> None:
    models = ScriptedModels(errors={"fake:model": [refused("No.")]})
    state = await (await begin(world, models)).ended()
    assert (state.error_code, len(models.calls)) == (RunFailure.REFUSED, 1)


async def test_the_last_error_is_told_where_none_answers(world: World) -> None:
    errors: dict[str, list[Exception]] = {
        "fake:model": [error_of_status(404)],
        "other:model": [error_of_status(401)],
    }
    state = await (await begin(world, ScriptedModels(errors=errors))).ended()
    assert (state.error_code, state.ledger) == (RunFailure.UPSTREAM_REJECTED, [])
    assert "key" in (state.error_message or "")


class Silence:
    """A sink."""

    is_full = False
    is_over = False

    def text(self, delta: str) -> None: ...

    def reasoning(self, delta: str) -> None: ...

    async def room(self) -> None: ...


class Failing:
    """A provider that fails as told."""

    def __init__(self) -> None:
        self.calls = 0
        self.error: BaseException | None = unavailable("is away")

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return Generated(finish_reason="stop")


def call_of(model: str) -> ModelCall:
    return ModelCall(model=registry("retract").models[model], messages=[])


async def test_a_provider_that_fails_is_left_alone_and_no_other() -> None:
    inner = Failing()
    models = BreakingModels(inner, failures=3, seconds=0.2)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await models.generate(call_of("fake:model"), Silence())
    with pytest.raises(UpstreamError) as raised:
        await models.generate(call_of("fake:model"), Silence())
    assert (inner.calls, raised.value.code, raised.value.retryable) == (3, RunFailure.UPSTREAM_UNAVAILABLE, True)
    assert raised.value.retry_after is not None
    with pytest.raises(UpstreamError):
        await models.generate(call_of("other:model"), Silence())
    assert inner.calls == 4
    inner.error = None
    opened = time.time()
    while inner.calls == 4:
        try:
            await models.generate(call_of("fake:model"), Silence())
        except UpstreamError as error:
            await asyncio.sleep(error.retry_after or 0.01)
    assert time.time() - opened < 10
    await models.generate(call_of("fake:model"), Silence())


@pytest.mark.parametrize("error", [error_of_status(429), error_of_status(401), refused(), asyncio.CancelledError()])
async def test_what_is_not_the_providers_fault_does_not_count(error: BaseException) -> None:
    inner = Failing()
    inner.error = error
    models = BreakingModels(inner, failures=2, seconds=60)
    for _ in range(5):
        with pytest.raises(type(error)):
            await models.generate(call_of("fake:model"), Silence())
    assert inner.calls == 5
