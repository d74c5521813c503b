"""The environment each child gets: the contract between `everthread up` and the services, in one place."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from everthread.ports import LOOPBACK

NATS_URL: Final = "NATS_URL"
MONGODB_URI: Final = "MONGODB_URI"
OPENAI_BASE_URL: Final = "OPENAI_BASE_URL"
OPENAI_API_KEY: Final = "OPENAI_API_KEY"
JWKS_URL: Final = "EVERTHREAD_JWKS_URL"
PAGE_FOLDER: Final = "EVERTHREAD_PAGE_FOLDER"
DRAIN_SECONDS: Final = "EVERTHREAD_DRAIN_SECONDS"
_DEFAULT_DRAIN: Final = "5"

# Secrets go to the services that need them and to no other.
_NEEDED_BY: Final[Mapping[str, str]] = {MONGODB_URI: "conversation"} | dict.fromkeys(
    (OPENAI_API_KEY, "ANTHROPIC_API_KEY", "GOOGLE_API_KEY", "VLLM_API_KEY"), "inference"
)


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What the services must know of each other. `nats` is the address per service; `model_url` is None without a model;
    `page_folder` is where the page is (or will be) built; with `demo_state` the page may kill workers;
    `dev_key` and `vapid_key` are None where a JWKS URL is set; `nats_monitor` is None where the broker is not the embedded one."""

    nats: Mapping[str, str]
    mongodb_uri: str
    model_url: str | None
    dev_key: str | None
    conversation_ports: tuple[int, ...]
    nats_monitor: str | None = None
    inference_ports: tuple[int, ...] = ()
    page_folder: str | None = None
    demo_state: str | None = None
    vapid_key: str | None = None


def service_environment(
    service: str, instance: str, *, port: int, health_port: int, wiring: Wiring, outer: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of one service process. `port` is where it serves: HTTP of a gateway, gRPC of conversation
    and inference."""
    environment = {name: value for name, value in outer.items() if _NEEDED_BY.get(name, service) == service}
    environment |= {
        NATS_URL: wiring.nats[service],
        "EVERTHREAD_INSTANCE": instance,
        "EVERTHREAD_HEALTH_PORT": str(health_port),
        # What is written before a crash shall be in the log file after it.
        "PYTHONUNBUFFERED": "1",
    }
    # The parts talk to each other on loopback, whatever proxy this machine has for other places.
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [environment.get(name), LOOPBACK, "localhost"]))
    environment.setdefault(DRAIN_SECONDS, _DEFAULT_DRAIN)
    if service == "conversation":
        environment |= {MONGODB_URI: wiring.mongodb_uri, "EVERTHREAD_GRPC_PORT": str(port)}
    if service == "inference" and wiring.inference_ports:
        environment["EVERTHREAD_GRPC_PORT"] = str(port)
    if service == "gateway" and wiring.inference_ports:
        environment["EVERTHREAD_INFERENCE_ADDRESS"] = ",".join(f"{LOOPBACK}:{p}" for p in wiring.inference_ports)
    if service in ("gateway", "inference"):
        environment["EVERTHREAD_CONVERSATION_ADDRESS"] = ",".join(f"{LOOPBACK}:{p}" for p in wiring.conversation_ports)
    if service == "gateway":
        environment["EVERTHREAD_PORT"] = str(port)
    else:
        environment["EVERTHREAD_HOST"] = LOOPBACK
    if service == "gateway" and wiring.dev_key is not None:
        environment |= {"EVERTHREAD_DEV_KEY_FILE": wiring.dev_key, "EVERTHREAD_DEV_SESSION": "true"}
        if wiring.demo_state is not None:
            environment["EVERTHREAD_DEMO_STATE_FILE"] = wiring.demo_state
    if service == "gateway" and wiring.page_folder is not None:
        environment.setdefault(PAGE_FOLDER, wiring.page_folder)
    if service == "notifier" and wiring.nats_monitor is not None:
        environment["EVERTHREAD_NATS_MONITOR_URL"] = wiring.nats_monitor
    if service == "notifier" and wiring.vapid_key is not None:
        environment.setdefault("EVERTHREAD_VAPID_KEY_FILE", wiring.vapid_key)
    if service in ("gateway", "notifier") and wiring.dev_key is not None:
        # Development: a webhook's receiver is most likely a program on this machine.
        environment.setdefault("EVERTHREAD_INSECURE_RECEIVERS", "true")
        environment.setdefault("EVERTHREAD_RECEIVER_NETWORKS", "127.0.0.0/8,::1/128")
    if wiring.model_url is not None:
        environment["EVERTHREAD_EMBEDDED_MODEL_URL"] = wiring.model_url
    return environment


def keep_bytecode(environment: MutableMapping[str, str], folder: Path) -> None:
    """Have Python programs with this environment keep their compiled modules in `folder` where it forbids to write them beside the
    sources, as many containers do: to compile them anew at each start takes most of a service's start. One that already says where
    they are kept is left alone."""
    if environment.get("PYTHONDONTWRITEBYTECODE") and not environment.get("PYTHONPYCACHEPREFIX"):
        del environment["PYTHONDONTWRITEBYTECODE"]
        environment["PYTHONPYCACHEPREFIX"] = str(folder)
