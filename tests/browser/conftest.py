"""A mesh with its page, and real browsers on it. A console error, a violation of the page's policy or a request to another
address fails the test that caused it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import mesh as mesh_module
from tests.browser.ensure import MISSING, find_chromium
from tests.browser.person import Person
from tests.mesh import ROOT, Mesh
from tests.upstream import UpstreamProcess

WEB = ROOT / "services" / "gateway" / "web"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
]
MODELS = """
[providers.openai]
base_url_env = "OPENAI_BASE_URL"
api_key_env = "OPENAI_API_KEY"

[models."openai:gpt-4o-mini"]
upstream_name = "gpt-4o-mini"
context_window = 128000
input = 0.15
cached_input = 0.075
output = 0.60
continuation = "prefix"

[models."openai:large"]
upstream_name = "large"
context_window = 1000000
input = 2.0
output = 8.0
continuation = "prefix"
tools = true
"""
HELPER = """
name = "helper"
description = "Does what the script says."
system_prompt = "Do as you are told."
model = "openai:large"
tools = ["pay", "ask_user", "mesh:*"]
"""

OpenPage = Callable[..., Person]


@pytest.fixture(scope="session")
def page_folder() -> Path:
    """The built page: built now if its sources changed."""
    built = subprocess.run(
        [sys.executable, str(WEB / "build.py")], capture_output=True, text=True, timeout=600, check=False
    )
    assert built.returncode == 0, built.stderr
    return WEB / "dist"


@pytest.fixture(scope="session")
def upstream() -> Iterator[UpstreamProcess]:
    with UpstreamProcess() as process:
        yield process


@pytest.fixture(scope="session")
def session_mesh(
    tmp_path_factory: pytest.TempPathFactory, upstream: UpstreamProcess, page_folder: Path
) -> Iterator[Mesh]:
    home: Path = tmp_path_factory.mktemp("browser-mesh")
    models = home / "models.toml"
    models.write_text(MODELS, "utf-8")
    agents = home / "agents"
    agents.mkdir()
    (agents / "helper.toml").write_text(HELPER, "utf-8")
    mesh = mesh_module.start(
        home,
        scale="inference=2",
        demo=True,
        environment={
            "OPENAI_BASE_URL": upstream.base_url,
            "OPENAI_API_KEY": "sk-canary-0123456789",
            "EVERTHREAD_MODELS_FILE": str(models),
            "EVERTHREAD_AGENTS_FOLDER": str(agents),
            "EVERTHREAD_PAGE_FOLDER": str(page_folder),
            "EVERTHREAD_PRESENCE_SECONDS": "5",
            # A push service on loopback.
            "EVERTHREAD_RECEIVER_NETWORKS": "127.0.0.0/8",
            "EVERTHREAD_INSECURE_RECEIVERS": "true",
        },
    )
    try:
        yield mesh
    finally:
        mesh.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a file of tests; each person has a profile of their own in it."""
    executable = find_chromium()
    if executable is None:
        pytest.fail(MISSING, pytrace=False)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


@pytest.fixture
def open_page(session_mesh: Mesh, browser: Browser) -> Iterator[OpenPage]:
    """Opens the page in a profile of its own: `open_page(user="demo", width=1280, height=800)`. Whatever a page complained about
    is told at the end, unless the test said that it would (`person.expects`)."""
    people: list[Person] = []

    def open_one(user: str = "", path: str = "/", **options: object) -> Person:
        name = user or f"user-{id(people)}-{len(people)}"
        person = Person(browser, session_mesh.urls[0], name, **options)
        people.append(person)
        person.visit(path)
        return person

    yield open_one
    complaints = [f"{person.user}: {complaint}" for person in people for complaint in person.complaints]
    for person in people:
        person.context.close()
    assert not complaints, "\n".join(complaints)
