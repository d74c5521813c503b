"""What a process does not load when it starts: most of a start is reading modules, and each kill in a test or at night waits for it."""

import json
import subprocess
import sys

import pytest

# By whom they may be loaded at the start; for everybody else, and for all where nobody is named, they cost and give nothing.
LOADED_BY = {
    "fastapi": {"gateway"},
    "uvicorn": {"gateway"},
    "joserfc": {"gateway"},
    "openfeature": {"gateway"},
    "pymongo": {"conversation"},
    "cronsim": {"conversation"},
    "grpc": {"gateway", "conversation", "inference"},
    # Where a server of gRPC is made, not where one is called.
    "grpc_health.v1": set[str](),
    "grpc_reflection.v1alpha": set[str](),
    # Where an identity provider is used.
    "httpx2": set[str](),
    # Where telemetry has an address.
    "opentelemetry.sdk": set[str](),
    "opentelemetry.exporter": set[str](),
    # Where there is a key for browsers' push services.
    "pywebpush": set[str](),
    "py_vapid": set[str](),
    "requests": set[str](),
    # Where somebody asks for a tool server, or a document is read or looked for.
    "mcp": set[str](),
    "pypdf": set[str](),
    "qdrant_edge": set[str](),
    "semantic_text_splitter": set[str](),
    "tokenizers": set[str](),
    "wordllama": set[str](),
    "numpy": set[str](),
    # The commands' library, which is no service's.
    "typer": set[str](),
}
SERVICES = ("gateway", "conversation", "inference", "notifier")


def _loaded(modules: str) -> set[str]:
    code = f"import sys, json, {modules}; print(json.dumps(list(sys.modules)))"
    ended = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_loads_what_it_works_with_and_no_more(service: str) -> None:
    loaded = _loaded(f"runtime.process, runtime.settings, {service}.bootstrap, {service}.settings")
    assert f"{service}.bootstrap" in loaded
    assert sorted(name for name, users in LOADED_BY.items() if service not in users and name in loaded) == []


def test_a_service_s_entry_point_loads_nothing_before_it_runs() -> None:
    """Its modules are read with the garbage collector off, which is a tenth of the start."""
    loaded = _loaded(", ".join(f"{service}.__main__" for service in SERVICES))
    assert not {"runtime.process", "structlog", *(f"{service}.bootstrap" for service in SERVICES)} & loaded


def test_the_commands_that_scripts_call_load_none_of_what_others_need() -> None:
    loaded = _loaded("everthread.commands, everthread.ps, everthread.keys, everthread.home")
    assert not {"asyncio", "cryptography", "httpx2", "joserfc", "nats", "pymongo", "rich", "structlog"} & loaded


def test_everthread_up_loads_no_driver_to_ask_whether_its_parts_are_ready() -> None:
    loaded = _loaded("everthread.up, everthread.embedded, everthread.plan")
    assert not {"aiohttp", "httpx2", "nats", "pymongo", "structlog"} & loaded
