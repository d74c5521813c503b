"""The console: who may see it, what it shows, and what it does."""

import asyncio
import json
import re
import threading

import nats
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.person import Person, flat
from tests.mesh import Mesh
from tests.upstream import expected_text

VIEWS = {
    "Overview": "GET /v1/admin/overview",
    "Runs": "GET /v1/admin/runs",
    "Workers": "GET /v1/admin/workers",
    "Streams": "GET /v1/admin/streams",
    "Dead letters": "GET /v1/admin/dead-letters",
    "Webhooks": "GET /v1/webhooks",
    "Rollout": "GET /v1/admin/rollout",
    "Cost": "GET /v1/admin/usage",
    "Budgets": "GET /v1/admin/budgets",
}
LOADED = "performance.getEntriesByType('resource').map((entry) => new URL(entry.name).pathname)"


def enter(person: Person) -> None:
    """Open the console as an administrator, as development allows."""
    person.visit("/console")
    person.page.get_by_role("button", name="Open it as an administrator").click()
    expect(person.page.get_by_role("navigation", name="Console")).to_be_visible()


def go(person: Person, view: str) -> None:
    """To a view, by its link."""
    person.page.get_by_role("navigation", name="Console").get_by_role("link", name=view, exact=True).click()


def poison(mesh: Mesh) -> None:
    """Publish bytes that are no command where commands are."""
    password = json.loads((mesh.home / "secrets.json").read_text("utf-8"))["admin"]
    port = mesh.ps()["nats"]["port"]

    async def publish() -> None:
        client = await nats.connect(f"nats://admin:{password}@127.0.0.1:{port}")
        await client.jetstream().publish("cmd.run.run_00000000000000000000000000.execute", b"\xff not a command")
        await client.close()

    # In a thread of its own: the browser's driver has this thread's event loop.
    thread = threading.Thread(target=lambda: asyncio.run(publish()))
    thread.start()
    thread.join(20)


def test_somebody_who_is_no_administrator_is_told_so(open_page: OpenPage) -> None:
    person = open_page()
    expect(person.composer).to_be_visible()
    assert not [part for part in person.page.evaluate(LOADED) if "console" in part]
    person.visit("/console")
    expect(person.page.get_by_role("heading", name="The console is for administrators")).to_be_visible()
    expect(person.page.get_by_role("navigation")).to_have_count(0)
    assert not [part for part in person.page.evaluate(LOADED) if part.startswith(("/v1/admin", "/assets/index"))]
    response = person.page.request.get(f"{person.url}/console/runs", headers={"accept": "text/html"})
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_every_view_opens(open_page: OpenPage) -> None:
    person = open_page(color_scheme="dark")
    person.send("tokens=5 seed=51")
    person.ended()
    enter(person)
    offers = person.page.request.get(f"{person.url}/session").json()["offers"]
    links = person.page.get_by_role("navigation", name="Console").locator("li").all_inner_texts()
    assert links == [view for view, call in VIEWS.items() if call in offers]
    assert "Rollout" in links
    for view in links:
        go(person, view)
        expect(person.page.get_by_role("heading", level=1)).to_contain_text(view)
        expect(person.page.get_by_text("Reading…")).to_have_count(0)
        expect(person.page.get_by_role("alert").filter(has_text=re.compile(r"\S"))).to_have_count(0)
        assert person.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    person.page.reload()
    expect(person.page.get_by_role("heading", level=1)).to_contain_text(links[-1])
    person.page.get_by_role("button", name="Back to the role user").click()
    expect(person.composer).to_be_visible()
    assert person.page.request.get(f"{person.url}/session").json()["role"] == "user"


def test_runs_are_found_stopped_and_looked_into(open_page: OpenPage) -> None:
    person = open_page()
    person.send("tokens=4000 rate=20 seed=52")
    person.sees(" ")
    chat = person.page
    person.tab()
    enter(person)
    page = person.page
    user = page.request.get(f"{person.url}/session").json()["user_id"]
    go(person, "Runs")
    page.get_by_role("textbox", name="User").fill(user)
    page.get_by_role("textbox", name="User").press("Enter")
    page.get_by_role("combobox", name="State").select_option("generating")
    expect(page).to_have_url(re.compile(f"status=generating.*user={user}|user={user}.*status=generating"))
    row = page.locator("tr[data-run]")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("gpt-4o-mini")
    run = row.get_attribute("data-run")
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Stop 1").click()
    dialog = page.get_by_role("dialog", name="Stop this run?")
    dialog.get_by_role("button", name="Leave it").click()
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Stop 1").click()
    dialog.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator(".toast")).to_have_text("1 told to stop.")
    expect(row).to_have_count(0)
    page.get_by_role("combobox", name="State").select_option("cancelled")
    expect(page.locator(f"tr[data-run={run}]")).to_have_attribute("data-status", "cancelled")
    expect(chat.get_by_role("article", name="Answer")).to_have_attribute("data-status", "cancelled")
    page.get_by_role("link", name=run).click()
    waterfall = page.get_by_role("table", name="Where the time went")
    expect(waterfall.get_by_role("rowheader", name="in the queue")).to_be_visible()
    expect(waterfall.get_by_role("rowheader", name="attempt 1")).to_be_visible()
    expect(waterfall.locator("tr.step")).to_have_count(1)
    # Stopped already: it is told, and nothing is offered any more.
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)


def test_what_failed_is_answered_again_and_counted_apart(open_page: OpenPage) -> None:
    person = open_page()
    # The model refuses the first call of this message, and no other.
    script = "status=400 message=not_now times=1 tokens=6 seed=54"
    person.send(script)
    person.ended("error")
    chat = person.page
    person.tab()
    enter(person)
    page = person.page
    user = page.request.get(f"{person.url}/session").json()["user_id"]
    person.visit(f"/console/runs?user={user}")
    row = page.locator("tr[data-run]")
    expect(row).to_have_attribute("data-status", "error")
    expect(page.get_by_role("button", name="Answer again")).to_be_disabled()
    page.get_by_role("button", name="Choose all that failed here (1)").click()
    page.get_by_role("button", name="Answer again 1").click()
    page.get_by_role("dialog", name="Answer this again?").get_by_role("button", name="Answer again").click()
    expect(page.locator(".toast")).to_have_text("1 answered again.")
    expect(page.locator("tr[data-run][data-status=complete]")).to_have_count(1)
    # Once: asked again, it is the same answer.
    page.get_by_role("button", name="Choose all that failed here (1)").click()
    page.get_by_role("button", name="Answer again 1").click()
    page.get_by_role("dialog", name="Answer this again?").get_by_role("button", name="Answer again").click()
    expect(row).to_have_count(2)
    # Who asked has it as another version of the answer.
    chat.reload()
    person.page = chat
    person.sees(flat(expected_text("tokens=6 seed=54")))
    expect(person.answer.get_by_role("group", name="Versions")).to_contain_text("2 / 2")
    go(person_at(person, page), "Cost")
    head = page.get_by_role("columnheader")
    expect(head.filter(has_text="Made again")).to_be_visible()
    expect(head.filter(has_text="Broken off")).to_be_visible()


def person_at(person: Person, page: Page) -> Person:
    """The same person, with another tab in front."""
    person.page = page
    return person


def test_a_test_event_goes_through_the_mesh(open_page: OpenPage) -> None:
    person = open_page()
    enter(person)
    page = person.page
    page.get_by_role("textbox", name="Text of the test event").fill("tokens=5 seed=53")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("link", name=re.compile("^run_")).click()
    expect(page.locator(".figures-row")).to_contain_text("complete")
    expect(page.get_by_role("rowheader", name="storing the answer")).to_be_visible()


def test_a_dead_letter_is_delivered_again(open_page: OpenPage, session_mesh: Mesh) -> None:
    person = open_page()
    enter(person)
    page = person.page
    poison(session_mesh)
    go(person, "Dead letters")
    letters = page.locator("tr[data-letter]")
    expect(letters).to_have_count(1)
    expect(letters).to_contain_text("inference-execute")
    first = letters.get_attribute("data-letter")
    assert first
    letters.get_by_role("button", name="Retry").click()
    expect(page.locator(".toast")).to_have_text(f"Dead letter {first} is delivered again.")
    # It still is no command: it comes back as another one.
    expect(page.locator(f"tr[data-letter='{first}']")).to_have_count(0)
    expect(letters).to_have_count(1)


@pytest.mark.parametrize("width", [1280, 360])
def test_what_is_changed_has_a_reason(open_page: OpenPage, width: int) -> None:
    person = open_page(width=width)
    enter(person)
    page = person.page
    user = page.request.get(f"{person.url}/session").json()["user_id"]
    go(person, "Rollout")
    page.get_by_role("button", name="Kill switch").click()
    dialog = page.get_by_role("dialog", name="Everybody back to legacy_sync?")
    expect(dialog.get_by_role("textbox", name="Why")).to_be_focused()
    expect(dialog.get_by_role("button", name="Do it now")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("textbox", name="Users to look up").fill(user)
    places = page.get_by_role("region", name="Places of users")
    expect(places).to_contain_text(user)
    expect(places).to_contain_text("durable_event")
    expect(places).to_contain_text(re.compile(r"Place \d+ is below the share of 100 %|Place \d+ is not below"))
    wished = page.request.patch(
        f"{person.url}/v1/me/preferences", data={"path": "legacy_sync"}, headers={"origin": person.url}
    )
    assert wished.status == 200, wished.text()
    page.reload()
    page.get_by_role("textbox", name="Users to look up").fill(user)
    expect(places).to_contain_text("Wished for in their preferences")
    go(person, "Runs")
    expect(page.get_by_role("table", name="Runs")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    go(person, "Budgets")
    page.get_by_role("button", name="Change").click()
    page.get_by_role("button", name="Another user").click()
    page.get_by_placeholder("user id").last.fill(user)
    page.get_by_placeholder("no limit").last.fill("2.50")
    page.get_by_role("button", name="Change").click()
    dialog = page.get_by_role("dialog", name="Put these budgets in force?")
    dialog.get_by_role("textbox", name="Why").fill(f"A test at {width}")
    dialog.get_by_role("button", name="Change").click()
    expect(page.locator("tr", has_text=user)).to_contain_text("$2.50 a day")
    expect(page.locator(".figures-row")).to_contain_text(f"A test at {width}")
