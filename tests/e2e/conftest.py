"""One mesh for all end-to-end tests: two of each that can be killed, the scripted upstream instead of a model.

`EVERTHREAD_TEST_MESH=containers` takes it out of images (tests/container_mesh.py); then no traces are received.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import container_mesh
from tests import mesh as mesh_module
from tests.mesh import Mesh
from tests.otlp_receiver import OtlpReceiver
from tests.upstream import UpstreamProcess

CONTAINERS = os.environ.get("EVERTHREAD_TEST_MESH") == "containers"
MODELS = """
[providers.openai]
base_url_env = "OPENAI_BASE_URL"
api_key_env = "OPENAI_API_KEY"

[providers.prefix]
base_url_env = "OPENAI_BASE_URL"
api_key_env = "OPENAI_API_KEY"

[models."openai:gpt-4o-mini"]
upstream_name = "gpt-4o-mini"
context_window = 128000
input = 0.15
cached_input = 0.075
output = 0.60
continuation = "retract"

[models."openai:scripted-tools"]
upstream_name = "scripted"
context_window = 128000
input = 0.15
output = 0.60
tools = true

[models."prefix:scripted"]
upstream_name = "scripted"
context_window = 128000
input = 1.0
output = 2.0
continuation = "prefix"
"""


@pytest.fixture(scope="session")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess(host=container_mesh.host_address()) if CONTAINERS else UpstreamProcess() as process:
        yield process


@pytest.fixture(scope="session")
def otlp() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def session_mesh(
    tmp_path_factory: pytest.TempPathFactory, upstream: UpstreamProcess, otlp: OtlpReceiver
) -> Iterator[Mesh]:
    home: Path = tmp_path_factory.mktemp("mesh")
    models = home / "models.toml"
    models.write_text(MODELS, "utf-8")
    mesh = (
        container_mesh.start_containers(home, models=models, upstream=upstream.base_url)
        if CONTAINERS
        else mesh_module.start(
            home,
            scale="gateway=2,inference=2",
            gateways=2,
            environment={
                "OPENAI_BASE_URL": upstream.base_url,
                "OPENAI_API_KEY": "sk-canary-0123456789",
                "EVERTHREAD_MODELS_FILE": str(models),
                "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.endpoint,
            },
        )
    )
    try:
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture
async def mesh(session_mesh: Mesh) -> Mesh:
    """The session's mesh, every part of it ready (the test before may have killed some)."""
    await session_mesh.wait_ready()
    return session_mesh
