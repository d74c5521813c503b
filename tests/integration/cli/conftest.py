"""One mesh for the tests of `everthread chat`: two gateways, the scripted upstream instead of a model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import mesh as mesh_module
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess


@pytest.fixture(scope="session")
def chat_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home: Path = tmp_path_factory.mktemp("chat")
    with UpstreamProcess() as upstream:
        mesh = mesh_module.start(
            home,
            scale="gateway=2",
            gateways=2,
            environment={"OPENAI_BASE_URL": upstream.base_url, "OPENAI_API_KEY": "sk-test"},
        )
        try:
            yield mesh
        finally:
            mesh.stop()
