"""What `up` is going to run: which parts, on which ports, with which secrets. Starts nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from everthread import embedded, external
from everthread.broker import USER_NAMES, broker_config, user_urls
from everthread.child import STANDS_BACK, Program
from everthread.environment import (
    DRAIN_SECONDS,
    JWKS_URL,
    MONGODB_URI,
    NATS_URL,
    OPENAI_API_KEY,
    OPENAI_BASE_URL,
    Wiring,
    service_environment,
)
from everthread.errors import RefusedError
from everthread.home import Home, kept_passwords
from everthread.keys import ensure_key, ensure_vapid_key
from everthread.ports import LOOPBACK, free_port, keep, next_free
from everthread.probes import http_status, refuses
from everthread.scale import SERVICES
from everthread.supervisor import Part

_CARRY_TOKENS: Final = frozenset({"gateway", "inference"})
_EMBEDDED_STAGE: Final = 0
_STAGE: Final = {"conversation": 1, "notifier": 2, "inference": 2, "gateway": 3}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The parts in the order they are started, the gateways' addresses, and per replaceable part what is used."""

    parts: list[Part]
    urls: list[str]
    uses: dict[str, str]
    issuer: str
    notes: list[str]


def make_plan(
    home: Home,
    *,
    port: int,
    counts: Mapping[str, int],
    with_model: bool,
    environment: Mapping[str, str],
    page: Path | None = None,
    demo: bool = False,
) -> Plan:
    """Decide everything, and make the keys and passwords. `page` is the folder of the page's sources, built below it; with `demo`
    the page may kill workers. Raises RefusedError."""
    check_packages()
    take_ports(port, counts["gateway"])
    parts: list[Part] = []
    uses: dict[str, str] = {}
    notes: list[str] = []

    nats_monitor = None
    if environment.get(NATS_URL):
        nats = dict.fromkeys(SERVICES, environment[NATS_URL])
        uses["nats"] = f"{external.without_secret(environment[NATS_URL])} (NATS_URL)"
    else:
        nats_port, monitor_port = free_port(), free_port()
        nats_monitor = f"http://{LOOPBACK}:{monitor_port}"
        passwords = kept_passwords(home.secrets, USER_NAMES)
        config = broker_config(nats_port, monitor_port, home.nats, passwords)
        parts.append(
            _embedded(
                "nats",
                nats_port,
                "tcp",
                partial(embedded.nats_program, home.root, nats_port, config),
                embedded.nats_ready,
            )
        )
        nats = user_urls(nats_port, passwords)
        uses["nats"] = f"embedded, nats://{LOOPBACK}:{nats_port}"
    if environment.get(MONGODB_URI):
        mongodb_uri = environment[MONGODB_URI]
        uses["mongo"] = f"{external.without_secret(mongodb_uri)} (MONGODB_URI)"
    else:
        mongo_port = free_port()
        program = partial(embedded.mongo_program, home.root, mongo_port)
        parts.append(_embedded("mongo", mongo_port, "tcp", program, embedded.mongo_ready))
        mongodb_uri = embedded.mongo_uri(mongo_port)
        uses["mongo"] = f"embedded, mongodb://{LOOPBACK}:{mongo_port}"
    model_url = None
    if environment.get(OPENAI_BASE_URL):
        uses["model"] = f"{external.without_secret(environment[OPENAI_BASE_URL])} (OPENAI_BASE_URL)"
        if not environment.get(OPENAI_API_KEY):
            notes.append("OPENAI_API_KEY is not set: the model at OPENAI_BASE_URL is called without a key.")
    elif with_model:
        model_port = free_port()
        program = partial(embedded.model_program, home.root, model_port)
        parts.append(_embedded("model", model_port, "/health", program, embedded.model_ready))
        model_url = embedded.model_url(model_port)
        uses["model"] = f"embedded SmolLM2-135M, {model_url}"
    else:
        uses["model"] = "none (--no-model)"
        notes.append("No model runs: set OPENAI_BASE_URL and OPENAI_API_KEY, or leave --no-model out, for answers.")

    dev_key = None
    if environment.get(JWKS_URL):
        uses["identity"] = f"{environment[JWKS_URL]} ({JWKS_URL})"
    else:
        ensure_key(home.dev_key)
        ensure_vapid_key(home.vapid_key)
        dev_key = str(home.dev_key)
        uses["identity"] = "development key; tokens by `everthread token`"
    conversation_ports = tuple(free_port() for _ in range(counts["conversation"]))
    inference_ports = tuple(free_port() for _ in range(counts["inference"]))
    wiring = Wiring(
        nats=nats,
        mongodb_uri=mongodb_uri,
        model_url=model_url,
        dev_key=dev_key,
        vapid_key=str(home.vapid_key) if dev_key is not None else None,
        conversation_ports=conversation_ports,
        nats_monitor=nats_monitor,
        inference_ports=inference_ports,
        page_folder=str(page / "dist") if page is not None else None,
        demo_state=str(home.state) if demo else None,
    )
    present = {part.name for part in parts}
    for service in SERVICES:
        for index in range(counts[service]):
            health_port = free_port()
            serves = {"gateway": port + index}
            for name, taken in (("conversation", conversation_ports), ("inference", inference_ports)):
                if service == name:
                    serves[name] = taken[index]
            instance = f"{service}-{index + 1}"
            needs = tuple(sorted(present & ({"nats", "mongo"} if service == "conversation" else {"nats"})))
            own = serves.get(service, health_port)
            settings = service_environment(
                service, instance, port=own, health_port=health_port, wiring=wiring, outer=environment
            )
            parts.append(_service(home, service, instance, own, health_port, settings, needs))
    return Plan(
        parts=parts,
        urls=[f"http://{LOOPBACK}:{port + index}" for index in range(counts["gateway"])],
        uses=uses,
        issuer="jwks" if dev_key is None else "development",
        notes=notes,
    )


def check_packages() -> None:
    """Every service is installed. Raises RefusedError."""
    missing = [service for service in SERVICES if find_spec(f"{service}.__main__") is None]
    if missing:
        raise RefusedError(f"the package everthread-{missing[0]} is not installed; run `uv sync`")


def take_ports(port: int, count: int) -> None:
    """Keep the gateways' ports. Raises RefusedError, which names the next free one."""
    if not 1 <= port <= 65_536 - count:
        raise RefusedError(f"--port {port} is not a port from 1 to {65_536 - count}", 2)
    for taken in range(port, port + count):
        if not keep(taken):
            offer = next_free(port + 1, count)
            remedy = f"; {offer} is free: use --port {offer}" if offer else "; choose another with --port"
            raise RefusedError(f"port {taken} is taken on {LOOPBACK}{remedy}")


def check_replacements(environment: Mapping[str, str]) -> None:
    """The servers that replace embedded parts answer and are good enough. Raises RefusedError."""
    if environment.get(NATS_URL):
        external.check_nats(environment[NATS_URL])
    if environment.get(MONGODB_URI):
        external.check_mongo(environment[MONGODB_URI])


def _embedded(name: str, port: int, probe: str, program: Callable[[], Program], ready: Callable[[int], bool]) -> Part:
    return Part(
        name=name,
        port=port,
        health_port=port,
        probe=probe,
        program=program,
        ready=partial(ready, port),
        refuses=partial(refuses, port),
        stage=_EMBEDDED_STAGE,
    )


def _service(
    home: Home,
    service: str,
    instance: str,
    port: int,
    health_port: int,
    settings: dict[str, str],
    needs: tuple[str, ...],
) -> Part:
    program = Program(
        name=instance,
        arguments=[*embedded.PYTHON, "-m", service],
        environment=settings,
        log=home.log(instance),
        niceness=0 if service in _CARRY_TOKENS else STANDS_BACK,
    )
    return Part(
        name=instance,
        port=port,
        health_port=health_port,
        probe="/readyz",
        program=lambda: program,
        ready=lambda: http_status(health_port, "/readyz") == 200,
        refuses=partial(refuses, health_port),
        stage=_STAGE[service],
        needs=needs,
        grace=_drain(settings) + 5.0,
    )


def _drain(settings: Mapping[str, str]) -> float:
    try:
        return max(0.0, float(settings[DRAIN_SECONDS]))
    except ValueError:
        # The service itself refuses it, with the sentence that belongs to it.
        return 0.0
