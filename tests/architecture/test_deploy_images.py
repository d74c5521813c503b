"""The Dockerfile and deploy/compose.yaml agree with the services: targets, ports, variables, health, drain."""

import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from bus.permissions import USERS
from bus.server_config import accounts
from contracts import topology
from runtime import variables
from runtime.settings import ServiceSettings, variables_of

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text("utf-8"))
SERVICES = ("gateway", "conversation", "inference", "notifier")
COMMON = {
    line.partition("=")[0]
    for line in (ROOT / "deploy/compose/settings.env").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
}


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"{service}.settings")
    (found,) = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    }
    return found


def stage(name: str) -> str:
    (text,) = re.findall(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    return str(text)


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_has_an_image_of_its_own_packages(service: str) -> None:
    assert f"--package everthread-{service}\n" in stage(f"build-{service}")
    own = stage(service)
    assert f"--from=build-{service} " in own
    assert f'CMD ["-m", "{service}"]' in own
    port = variables_of(settings_of(service)).get("EVERTHREAD_GRPC_PORT" if service != "gateway" else "EVERTHREAD_PORT")
    assert re.findall(r"EXPOSE (\d+)", own) == ([str(port.default)] if port is not None else [])


def test_images_run_as_nobody_in_particular_and_tell_their_health() -> None:
    common = stage("service")
    assert "USER 10001:10001" in common
    assert "/healthz" in common
    assert "apt-get" not in DOCKERFILE


def test_the_gateway_serves_the_page_that_was_built_from_these_sources() -> None:
    assert "python services/gateway/web/build.py" in stage("page")
    (folder,) = re.findall(r"COPY --from=page /src/services/gateway/web/dist (\S+)\n", stage("gateway"))
    assert f"ENV EVERTHREAD_PAGE_FOLDER={folder}\n" in stage("gateway")
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert {"services/gateway/web/dist", "**/node_modules"} <= set(ignored), "one built elsewhere would be taken"
    # What is given from outside would take the page away.
    compose = (ROOT / "deploy/compose.yaml").read_text("utf-8")
    assert "EVERTHREAD_PAGE_FOLDER" not in compose + (ROOT / "deploy/k8s/base/gateway.yaml").read_text("utf-8")


def test_node_stays_in_the_stage_that_builds_the_page() -> None:
    for service in SERVICES:
        assert f"FROM service AS {service}\n" in DOCKERFILE
        assert ("--from=page " in stage(service)) == (service == "gateway")
    check = (ROOT / "deploy/images/check.sh").read_text("utf-8")
    assert re.search(r"for tool in .*\bnode\b", check)


@pytest.mark.parametrize("service", SERVICES)
def test_compose_gives_a_service_what_it_reads(service: str) -> None:
    part = COMPOSE["services"][service]
    known = variables_of(settings_of(service)).keys()
    given = part["environment"].keys() | COMMON
    assert given - {"OPENAI_BASE_URL", "OPENAI_API_KEY"} <= known
    assert {name for name, field in variables_of(settings_of(service)).items() if field.is_required()} <= {
        *given,
        "NATS_URL",
    }
    assert part["build"]["target"] == service
    assert f"compose/secrets/{service}.env" in part["env_file"]
    assert part["read_only"]
    assert int(part["stop_grace_period"].removesuffix("s")) > 25 + 3


def test_the_variables_of_the_images_exist() -> None:
    assert set(re.findall(r"EVERTHREAD_[A-Z_]+", DOCKERFILE)) <= variables.KNOWN


def test_the_broker_is_new_enough_and_in_three_servers() -> None:
    servers = [part for name, part in COMPOSE["services"].items() if name.startswith("nats-")]
    assert len(servers) == 3
    for part in servers:
        tag = tuple(int(number) for number in re.findall(r"\d+", part["image"].partition(":")[2])[:2])
        assert tag >= topology.MINIMUM_SERVER[:2]


def test_what_compose_mounts_is_there() -> None:
    for part in COMPOSE["services"].values():
        for volume in part.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./") and "/secrets/" not in source:
                assert (ROOT / "deploy" / source).exists(), source


def prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("compose_prepare", ROOT / "deploy/compose/prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_upgrade_in_compose_keeps_passwords_and_gives_this_versions_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = prepare()
    monkeypatch.setattr(module, "FOLDER", tmp_path / "secrets")
    module.main()
    wanted = {file.name: file.read_text("utf-8") for file in module.FOLDER.iterdir()}
    assert set(wanted) == {*(f"{name}.conf" for name in module.SERVERS), *(f"{name}.env" for name in SERVICES)}
    # As an older version left it: a subject fewer, and a user that it did not know.
    file = module.FOLDER / "nats-2.conf"
    older = json.loads(file.read_text("utf-8"))
    users = older["accounts"]["EVERTHREAD"]["users"]
    assert len(users) == len(USERS)
    users[0]["permissions"]["publish"]["allow"].pop()
    file.write_text(json.dumps(older), "utf-8")
    inode = file.stat().st_ino
    module.main()
    assert {file.name: file.read_text("utf-8") for file in module.FOLDER.iterdir()} == wanted
    assert file.stat().st_ino == inode, "a container that has it mounted would go on with the one before"
    unknown = users.pop()["user"]
    (module.FOLDER / "nats-1.conf").write_text(json.dumps(older), "utf-8")
    module.main()
    found = module.kept_passwords(module.FOLDER)
    assert found.keys() == {*USERS, "system"}
    known = {password for user, password in found.items() if user != unknown}
    assert all(password in wanted["nats-1.conf"] for password in known)
    assert json.loads(file.read_text("utf-8"))["accounts"] == accounts(found)


def test_compose_cluster_and_workflow_run_the_same_servers() -> None:
    own = {part["image"] for part in COMPOSE["services"].values()}
    values = yaml.safe_load((ROOT / "deploy/k8s/values/nats.yaml").read_text("utf-8"))["container"]["image"]
    database = yaml.safe_load((ROOT / "deploy/k8s/components/mongodb/database.yaml").read_text("utf-8"))["spec"][
        "version"
    ]
    collector = (ROOT / "deploy/k8s/components/otel/collector.yaml").read_text("utf-8")
    tested = set(re.findall(r"_IMAGE: (\S+)", (ROOT / ".github/workflows/ci.yml").read_text("utf-8")))
    nats, mongo = f"{values['repository']}:{values['tag']}", f"mongo:{database.rpartition('.')[0]}"
    assert tested == {nats, mongo}
    assert {nats, mongo, *re.findall(r"image: (otel/\S+)", collector)} <= own
