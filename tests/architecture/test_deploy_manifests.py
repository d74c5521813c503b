"""deploy/k8s and the code agree: settings, ports, probes, drain, edges of the network, names of streams, secrets.

Only what can be said without rendering. Schemas, policies and Kustomize itself: `task deploy:check`.
"""

import importlib
import json
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from bus.server_config import ACCOUNT, MAX_PAYLOAD
from contracts import topology
from gateway.adapters.flag_bucket import usable
from gateway.domain.flag_mistakes import read_definition
from runtime import variables
from runtime.names import Metric
from runtime.settings import PREFIX, ServiceSettings, variables_of

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy/k8s"
SERVICES = ("gateway", "conversation", "inference", "notifier")
MEASURED_IDLE_MIB = {"gateway": 67, "conversation": 58, "inference": 47, "notifier": 41}
"""PSS of a process that has nothing to do. A request below it would be a lie."""
CLEAN_UP_SECONDS = 3
"""What runtime.process gives `finally` blocks after the drain."""
TUNING = {
    "EVERTHREAD_MODELS_FILE",
    "EVERTHREAD_DEV_KEY_FILE",
    "EVERTHREAD_EMBEDDED_MODEL_URL",
    "EVERTHREAD_HOME",
}
"""Not for a cluster: development's, or a file that an installation mounts by itself."""


def documents(pattern: str) -> Iterator[dict[str, Any]]:
    for file in sorted(K8S.glob(pattern)):
        # The parser in C: this is done when tests are collected, in each of their processes.
        loaded = yaml.load_all(file.read_text("utf-8"), Loader=yaml.CSafeLoader)
        yield from (document for document in loaded if document)


def named(kind: str, name: str, pattern: str = "**/*.yaml") -> dict[str, Any]:
    (found,) = (d for d in documents(pattern) if d.get("kind") == kind and d["metadata"]["name"] == name)
    return found


COMMON: dict[str, Any] = next(documents("base/every-deployment.yaml"))["spec"]["template"]["spec"]
DEPLOYMENTS = {service: named("Deployment", service, "base/*.yaml") for service in SERVICES}


def pod(service: str) -> dict[str, Any]:
    spec: dict[str, Any] = DEPLOYMENTS[service]["spec"]["template"]["spec"]
    return spec


def container(service: str) -> dict[str, Any]:
    (found,) = pod(service)["containers"]
    assert found["name"] == COMMON["containers"][0]["name"], "the common patch finds the container by its name"
    fields: dict[str, Any] = found
    return fields


def env_file(name: str) -> dict[str, str]:
    lines = (K8S / "base" / f"{name}.env").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def environment(service: str) -> dict[str, Any]:
    """Every variable of a service in the base; a reference stands as its object."""
    given: dict[str, Any] = {**env_file("settings")}
    for entry in container(service)["env"]:
        assert entry["name"] not in given, f"{service}: {entry['name']} is given twice"
        given[entry["name"]] = entry.get("value", entry.get("valueFrom"))
    for value in given.values():
        if isinstance(value, dict) and "configMapKeyRef" in value:
            reference = value["configMapKeyRef"]
            assert reference["key"] in env_file(reference["name"])
    return given


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"{service}.settings")
    (found,) = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    }
    return found


def providers() -> set[str]:
    text = (ROOT / "libs/contracts/src/contracts/models.toml").read_text("utf-8")
    return set(re.findall(r'_env = "(\w+)"', text))


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_given_only_what_it_reads_and_all_that_it_needs(service: str) -> None:
    known = variables_of(settings_of(service))
    given = environment(service).keys()
    assert given <= known.keys() | providers(), f"{service} does not read {given - known.keys() - providers()}"
    needed = {name for name, field in known.items() if field.is_required()}
    assert needed <= given, f"{service} does not start without {needed - given}"
    # One without a default is for an installation that has such a server; without it none is looked for.
    looked_for = {name for name, field in known.items() if field.default not in (None, "")}
    addresses = {name for name in looked_for if re.search(r"_(ADDRESS|PORT|HOST|URL)$", name)} - TUNING
    assert addresses <= given, f"{service} would look for {addresses - given} on its own machine"


def test_every_variable_anywhere_in_deploy_exists() -> None:
    files = [f for f in (ROOT / "deploy").rglob("*") if f.suffix in {".yaml", ".env", ".sh"} or f.name == "Dockerfile"]
    for file in files:
        for name in re.findall(rf"\b{PREFIX}[A-Z_]+\b", file.read_text("utf-8")):
            assert name in variables.KNOWN, f"{file.relative_to(ROOT)} names {name}, which nothing reads"


def test_every_variable_is_in_the_reference_and_the_other_way_round() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    assert set(re.findall(rf"\| `({PREFIX}\w+)` \|", page)) == variables.KNOWN


@pytest.mark.parametrize("service", SERVICES)
def test_plain_values_are_accepted_by_the_settings(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in variables.KNOWN:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(service).items():
        if isinstance(value, str):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("NATS_URL", "nats://nats:4222")
    monkeypatch.setenv("MONGODB_URI", "mongodb://mongodb")
    settings = settings_of(service)()  # type: ignore[call-arg]  # the environment gives what is required
    assert settings.health_host == settings.host == "0.0.0.0"
    assert settings.stream_replicas == 3


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_stands_in_a_manifest(service: str) -> None:
    fields = variables_of(settings_of(service))
    for name, value in environment(service).items():
        secret = name.endswith("_KEY") or (name in fields and not fields[name].repr)
        # The monitor page has no password here, though elsewhere its address may hold one.
        if secret and name != "EVERTHREAD_NATS_MONITOR_URL":
            assert "secretKeyRef" in value, f"{service}: {name} is a secret"


def test_each_service_connects_as_itself() -> None:
    for service in SERVICES:
        assert environment(service)["NATS_URL"]["secretKeyRef"] == {"name": "nats-urls", "key": service}
    holders = {name: [s for s in SERVICES if name in environment(s)] for name in ("MONGODB_URI", "OPENAI_API_KEY")}
    assert holders == {"MONGODB_URI": ["conversation"], "OPENAI_API_KEY": ["inference"]}


@pytest.mark.parametrize("service", SERVICES)
def test_ports_and_probes_are_where_the_process_listens(service: str) -> None:
    given = environment(service)
    listens = {int(value) for name, value in given.items() if name in {"EVERTHREAD_PORT", "EVERTHREAD_GRPC_PORT"}}
    if service == "gateway":
        assert given["EVERTHREAD_CONVERSATION_ADDRESS"].endswith(
            f":{environment('conversation')['EVERTHREAD_GRPC_PORT']}"
        )
    assert {port["containerPort"] for port in container(service).get("ports", [])} == listens
    health = int(given["EVERTHREAD_HEALTH_PORT"])
    common = COMMON["containers"][0]
    assert [port["containerPort"] for port in common["ports"]] == [health]
    ports = {port["port"] for port in named("Service", service)["spec"]["ports"]}
    assert ports == listens | {health}
    for probe, path in {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}.items():
        assert common[probe]["httpGet"] == {"path": path, "port": "health"}
        assert f'"{path}"' in (ROOT / "libs/runtime/src/runtime/health.py").read_text("utf-8")


@pytest.mark.parametrize("service", SERVICES)
def test_the_grace_period_holds_the_whole_drain(service: str) -> None:
    waits = COMMON["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = float(environment(service)["EVERTHREAD_DRAIN_SECONDS"])
    assert pod(service)["terminationGracePeriodSeconds"] >= waits + drain + CLEAN_UP_SECONDS + 5


@pytest.mark.parametrize("service", SERVICES)
def test_memory_that_is_asked_for_covers_what_was_measured(service: str) -> None:
    asked = container(service)["resources"]["requests"]["memory"]
    assert int(asked.removesuffix("Mi")) > MEASURED_IDLE_MIB[service]


def test_pods_are_restricted_and_get_no_variables_from_service_names() -> None:
    common = COMMON["containers"][0]["securityContext"]
    assert common["readOnlyRootFilesystem"]
    assert common["capabilities"] == {"drop": ["ALL"]}
    pods = [COMMON, *(job["spec"]["template"]["spec"] for job in documents("jobs/**/job.yaml") if job["kind"] == "Job")]
    for spec in pods:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["enableServiceLinks"] is False, (
            "a Service named everthread-… would be an unknown EVERTHREAD_ variable"
        )
        assert spec["automountServiceAccountToken"] is False
    labels = named("Namespace", "everthread")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


EDGES = {
    ("namespace ingress-nginx", "gateway", 8080),
    ("gateway", "conversation", 7001),
    ("gateway", "inference", 7002),
    ("inference", "conversation", 7001),
    ("conversation", "mongodb-svc", 27017),
    ("mongodb-svc", "mongodb-svc", 27017),
    ("prepare", "mongodb-svc", 27017),
    ("part-of everthread", "nats", 4222),
    ("nats", "nats", 6222),
    ("notifier", "nats", 8222),
    ("namespace keda", "nats", 8222),
    ("part-of everthread", "otel-collector", 4318),
    ("otel-collector", "namespace monitoring", 4318),
    ("namespace monitoring", "part-of everthread", 9090),
}
"""The architecture's picture, with the parts that run it. The door's, KEDA's and Prometheus' far ends are other namespaces."""
WORLD = {"gateway", "inference", "notifier"}
"""Who may call the internet: identity provider's keys; models and tools; webhooks' receivers and push services."""


def _who(peer: dict[str, Any]) -> str:
    labels: dict[str, str] = peer.get("podSelector", {}).get("matchLabels", {})
    for label, prefix in (("app.kubernetes.io/name", ""), ("app", ""), ("app.kubernetes.io/part-of", "part-of ")):
        if label in labels:
            return prefix + labels[label]
    if "namespaceSelector" in peer:
        return "namespace " + str(peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
    return "world"


def _edges(direction: str) -> set[tuple[str, str, int]]:
    found = set()
    for policy in documents("**/*.yaml"):
        if policy.get("kind") != "NetworkPolicy":
            continue
        own = _who({"podSelector": policy["spec"]["podSelector"]})
        for rule in policy["spec"].get(direction, []):
            for peer, port in product(rule.get("from", rule.get("to", [])), rule["ports"]):
                other = _who(peer)
                pair = (other, own) if direction == "ingress" else (own, other)
                found.add((*pair, port["port"]))
    return found


def _outside(who: str) -> bool:
    return who.startswith("namespace ") or who == "world"


def test_the_network_has_the_edges_of_the_picture_and_no_other() -> None:
    incoming, outgoing = _edges("ingress"), _edges("egress")
    named_dns = {edge for edge in outgoing if edge[2] == 53}
    assert {other for _, other, _ in named_dns} == {"namespace kube-system"}
    world = {edge for edge in outgoing if edge[1] == "world" and edge[2] == 443}
    assert {who for who, _, _ in world} == WORLD
    wanted_in = {edge for edge in EDGES if not _outside(edge[1])}
    wanted_out = {edge for edge in EDGES if not _outside(edge[0])}
    assert incoming == wanted_in
    assert outgoing - named_dns - world == wanted_out


def test_the_world_does_not_hold_the_private_network() -> None:
    for policy in documents("base/network.yaml"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} <= set(peer["ipBlock"]["except"])


def test_everything_is_closed_first() -> None:
    closed = named("NetworkPolicy", "nothing-unless-allowed")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_workers_scale_by_the_lag_of_their_consumer() -> None:
    (trigger,) = named("ScaledObject", "inference")["spec"]["triggers"]
    data = trigger["metadata"]
    assert trigger["type"] == "nats-jetstream"
    assert (data["account"], data["stream"], data["consumer"]) == (
        ACCOUNT,
        topology.COMMANDS.name,
        topology.EXECUTE.name,
    )
    assert int(data["lagThreshold"]) <= int(environment("inference")["EVERTHREAD_SLOTS"])


def test_gateways_scale_by_a_metric_that_they_show() -> None:
    (metric, _) = named("HorizontalPodAutoscaler", "gateway")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name == Metric.VIEWERS.value.name
    assert name in (K8S / "values/prometheus-adapter.yaml").read_text("utf-8")


def test_the_broker_is_as_the_code_expects_it() -> None:
    values: dict[str, Any] = yaml.safe_load((K8S / "values/nats.yaml").read_text("utf-8"))
    config = values["config"]
    assert config["cluster"]["replicas"] == int(env_file("settings")["EVERTHREAD_STREAM_REPLICAS"])
    tag = tuple(int(part) for part in values["container"]["image"]["tag"].partition("-")[0].split("."))
    assert tag >= topology.MINIMUM_SERVER[: len(tag)]
    size = int(config["jetstream"]["fileStore"]["pvc"]["size"].removesuffix("Gi")) * topology.GIB
    kept = {kind: [s for s in topology.STREAMS if s.storage == kind] for kind in ("file", "memory")}
    assert size > sum(stream.max_bytes for stream in kept["file"])
    memory = config["jetstream"]["memoryStore"]
    assert memory["enabled"]
    assert int(memory["maxSize"].removesuffix("Mi")) * 1024**2 > sum(stream.max_bytes for stream in kept["memory"])
    assert all(stream.max_bytes > 0 for stream in topology.STREAMS), (
        "a stream without a limit fills the disk of all others"
    )
    assert int(config["merge"]["max_payload"].removesuffix("MB")) * 1024**2 == MAX_PAYLOAD
    development: dict[str, Any] = yaml.safe_load((K8S / "values/nats-dev.yaml").read_text("utf-8"))
    assert development["config"]["jetstream"]["merge"]["sync_interval"] == "always"


def test_a_worker_has_room_for_an_index_of_all_documents() -> None:
    common, own = yaml.safe_load((K8S / "base/kustomization.yaml").read_text("utf-8"))["patches"]
    assert (common["path"], own["target"]["name"]) == ("every-deployment.yaml", "inference"), "the later patch counts"
    (volume,) = yaml.safe_load(own["patch"])["spec"]["template"]["spec"]["volumes"]
    assert volume["name"] in {mount["name"] for mount in COMMON["containers"][0]["volumeMounts"]}
    assert int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi")) * topology.GIB > topology.CORPORA.max_bytes


def test_the_ingress_lets_streams_through_and_takes_bodies_of_the_right_size() -> None:
    notes = named("Ingress", "gateway")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io/"
    assert notes[prefix + "proxy-buffering"] == "off"
    assert int(notes[prefix + "proxy-read-timeout"]) >= 3600
    settings = variables_of(settings_of("gateway"))
    limit = max(settings[name].default for name in ("EVERTHREAD_BODY_BYTES", "EVERTHREAD_DOCUMENT_BYTES"))
    assert notes[prefix + "proxy-body-size"] == f"{limit // 1024**2}m"
    (rule,) = named("HTTPRoute", "gateway")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": "gateway", "port": int(environment("gateway")["EVERTHREAD_PORT"])}]


def test_the_scrape_gives_the_labels_that_the_rules_ask_for() -> None:
    (endpoint,) = named("ServiceMonitor", "everthread")["spec"]["endpoints"]
    assert {rule["targetLabel"] for rule in endpoint["relabelings"]} == {"job", "service", "instance"}
    assert '"/metrics"' in (ROOT / "libs/runtime/src/runtime/health.py").read_text("utf-8")


@pytest.mark.parametrize(("kind", "variant"), [("legacy-only", "legacy_sync"), ("durable-only", "durable_event")])
def test_an_overlay_of_one_path_comes_with_a_usable_flag(kind: str, variant: str) -> None:
    data = (K8S / "jobs/flag" / kind / "path.json").read_bytes()
    read_definition(data)
    assert json.loads(data)["flags"]["path"]["defaultVariant"] == variant


def test_jobs_run_modules_that_are_there() -> None:
    for job in documents("jobs/**/job.yaml"):
        if job["kind"] != "Job":
            continue
        (only,) = job["spec"]["template"]["spec"]["containers"]
        service = only["image"].removeprefix("everthread/")
        flag, module = only["args"][:2]
        assert flag == "-m"
        assert (ROOT / "services" / service / "src" / (module.replace(".", "/") + ".py")).is_file()
        fields = variables_of(settings_of(service))
        given = {entry["name"] for entry in only["env"]}
        assert given <= fields.keys()
        assert {name for name, field in fields.items() if field.is_required()} <= given


def test_no_image_names_a_registry() -> None:
    for file in (ROOT / "deploy").rglob("*.yaml"):
        for image in re.findall(r"^\s*image: (\S+)", file.read_text("utf-8"), re.MULTILINE):
            assert "." not in image.partition("/")[0].partition(":")[0], f"{file.name}: {image}"


def test_a_definition_in_force_is_still_the_one_that_was_put_there() -> None:
    """flagd's evaluator changes what it is given; then nobody could tell that a job's flag is in force already."""
    data = (K8S / "jobs/flag/legacy-only/path.json").read_bytes()
    assert usable(data) == json.loads(data)
