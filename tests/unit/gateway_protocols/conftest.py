"""The official JavaScript clients, in one Node process for all tests here."""

from collections.abc import Iterator

import pytest

from tests.clients.node import NodeClients


@pytest.fixture(scope="session")
def clients() -> Iterator[NodeClients]:
    """Installs Node and the clients on first use; fails with what to do where that is impossible."""
    started = NodeClients()
    yield started
    started.close()
