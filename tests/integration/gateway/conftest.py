"""A world per test; `make_world` for one with other settings."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.integration.gateway.world import World, start_world

MakeWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def make_world() -> AsyncIterator[MakeWorld]:
    made: list[World] = []

    async def make(**settings: object) -> World:
        made.append(await start_world(**settings))  # type: ignore[arg-type]  # passed on by name
        return made[-1]

    yield make
    for world in made:
        await world.close()


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    return await make_world()
