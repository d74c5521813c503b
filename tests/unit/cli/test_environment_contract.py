from dataclasses import replace
from pathlib import Path

import pytest
from everthread.environment import Wiring, keep_bytecode, service_environment
from everthread.scale import SERVICES
from runtime.variables import KNOWN

WIRING = Wiring(
    nats={service: f"nats://{service}:secret-of-{service}@127.0.0.1:4222" for service in SERVICES},
    mongodb_uri="mongodb://127.0.0.1:27017/?directConnection=true",
    model_url="http://127.0.0.1:8090/v1",
    dev_key="/home/dev-key.json",
    conversation_ports=(50001, 50002),
)
OUTER = {
    "PATH": "/bin",
    "MONGODB_URI": "mongodb://user:secret@db",
    "OPENAI_API_KEY": "sk-secret",
    "OPENAI_BASE_URL": "https://api.example.org/v1",
    "NATS_URL": "nats://other",
}


def environment(service: str, wiring: Wiring = WIRING, outer: dict[str, str] = OUTER) -> dict[str, str]:
    return service_environment(service, f"{service}-1", port=9001, health_port=9002, wiring=wiring, outer=outer)


@pytest.mark.parametrize("service", SERVICES)
def test_each_connects_as_itself_and_sets_only_known_variables(service: str) -> None:
    given = environment(service)
    assert given["NATS_URL"] == f"nats://{service}:secret-of-{service}@127.0.0.1:4222"
    assert given["EVERTHREAD_INSTANCE"] == f"{service}-1"
    assert given["EVERTHREAD_HEALTH_PORT"] == "9002"
    assert {name for name in given if name.startswith("EVERTHREAD_")} <= KNOWN


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_reach_only_who_needs_them(service: str) -> None:
    given = environment(service)
    assert (given.get("OPENAI_API_KEY") == "sk-secret") is (service == "inference")
    assert ("MONGODB_URI" in given) is (service == "conversation")
    assert ("EVERTHREAD_DEV_KEY_FILE" in given) is (service == "gateway")
    # All of them ask the registry what the default model is.
    assert given["OPENAI_BASE_URL"] == "https://api.example.org/v1"


def test_the_notifier_alone_is_told_where_the_embedded_broker_tells_its_figures() -> None:
    wiring = replace(WIRING, nats_monitor="http://127.0.0.1:8222")
    told = {service: environment(service, wiring).get("EVERTHREAD_NATS_MONITOR_URL") for service in SERVICES}
    assert told == {**dict.fromkeys(SERVICES), "notifier": "http://127.0.0.1:8222"}


def test_who_calls_conversation_knows_all_of_its_processes() -> None:
    for service in ("gateway", "inference"):
        assert environment(service)["EVERTHREAD_CONVERSATION_ADDRESS"] == "127.0.0.1:50001,127.0.0.1:50002"
    assert environment("conversation")["EVERTHREAD_GRPC_PORT"] == "9001"
    assert environment("gateway")["EVERTHREAD_PORT"] == "9001"


def test_only_the_gateway_may_listen_elsewhere() -> None:
    outer = {"EVERTHREAD_HOST": "0.0.0.0"}
    assert environment("gateway", outer=outer)["EVERTHREAD_HOST"] == "0.0.0.0"
    assert environment("conversation", outer=outer)["EVERTHREAD_HOST"] == "127.0.0.1"


def test_real_identity_and_no_model_leave_their_variables_out() -> None:
    given = environment("gateway", replace(WIRING, dev_key=None, model_url=None))
    assert not {"EVERTHREAD_DEV_KEY_FILE", "EVERTHREAD_EMBEDDED_MODEL_URL"} & given.keys()


def test_loopback_is_not_reached_through_a_proxy_and_the_users_exceptions_stay() -> None:
    given = environment("inference", outer={"NO_PROXY": "example.org"})
    assert given["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_a_drain_time_of_the_users_own_is_kept() -> None:
    assert environment("inference")["EVERTHREAD_DRAIN_SECONDS"] == "5"
    assert environment("inference", outer={"EVERTHREAD_DRAIN_SECONDS": "30"})["EVERTHREAD_DRAIN_SECONDS"] == "30"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"PYTHONDONTWRITEBYTECODE": "1"}, {"PYTHONPYCACHEPREFIX": "/home/bytecode"}),
        # Beside the sources, as Python does it by itself.
        ({}, {}),
        # A cache that somebody else fills, and that is only read here.
        *[({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/cache"},) * 2],
    ],
)
def test_modules_are_not_compiled_at_each_start(given: dict[str, str], kept: dict[str, str]) -> None:
    environment = {"PATH": "/bin", **given}
    keep_bytecode(environment, Path("/home/bytecode"))
    assert environment == {"PATH": "/bin", **kept}
