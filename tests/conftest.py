"""What all tests share."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from everthread.environment import keep_bytecode
from hypothesis import HealthCheck, settings

from tests.clients.live import LiveClients

# To compile its modules anew is more than half of what the start of a mesh costs. For all that tests start, and for the workers of
# pytest, which are started after this.
keep_bytecode(os.environ, Path(sys.prefix) / "bytecode")

# How long something takes says nothing here: two cores are shared with servers that other tests have started.
settings.register_profile("everthread", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("everthread")

# As it comes, structlog draws a logged exception with the variables of every frame, which takes seconds where those are large.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)

HERE = Path(__file__).parent
FIRST = ("e2e", "integration/operations", "integration/cli", "integration/notifier", "integration")
"""Folders whose files take longest, most of them with a mesh of their own: begun first, so that short files fill the end."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one of several processes, the long files first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _turn(item.path.relative_to(HERE).as_posix()))


def _turn(file: str) -> int:
    return next((place for place, folder in enumerate(FIRST) if file.startswith(folder + "/")), len(FIRST))


@pytest.fixture(scope="session")
def node_process() -> Iterator[LiveClients]:
    made = LiveClients()
    yield made
    made.close()


@pytest.fixture
async def clients(node_process: LiveClients) -> AsyncIterator[LiveClients]:
    """The official JavaScript clients."""
    async with node_process:
        yield node_process
