"""The page itself: threads, keyboard, narrow screens, and text that must do no harm."""

import json
import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.person import PATIENCE, flat
from tests.load.page import LAST, fill
from tests.mesh import Mesh
from tests.upstream import expected_text

HARM = (
    '![track](http://192.0.2.1/pixel.png) <img src="http://192.0.2.1/x.png" onerror="window.harmed=1"> '
    '<script>window.harmed=1</script> <a href="javascript:window.harmed=1">here</a> <style>body{display:none}</style> '
    '[run](javascript:window.harmed=1) <iframe src="http://192.0.2.1/"></iframe> **bold** <b onclick="harmed=1">b</b>'
)


def test_threads_are_renamed_pinned_tagged_archived_and_deleted(open_page: OpenPage) -> None:
    person = open_page()
    person.send("tokens=5 seed=31")
    person.ended()
    page = person.page
    row = page.locator(f"[data-thread={person.thread}]")

    def choose(name: str) -> None:
        row.hover()
        row.get_by_role("button", name="Actions for").click()
        page.get_by_role("menuitem", name=name, exact=True).click()

    choose("Rename")
    page.get_by_role("textbox", name="Title").fill("About lanterns")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("About lanterns")
    expect(page).to_have_title("About lanterns")
    choose("Pin")
    expect(page.get_by_role("region", name="Pinned")).to_contain_text("About lanterns")
    choose("Tags")
    page.get_by_role("textbox", name="Tags").fill("sea, light")
    page.get_by_role("button", name="Save").click()
    expect(row.locator(".tag")).to_have_text(["sea", "light"])
    choose("Star")
    page.get_by_role("searchbox", name="Search chats").fill("light")
    expect(row).to_be_visible()
    page.get_by_role("searchbox", name="Search chats").fill("nothing like it")
    expect(row).to_have_count(0)
    page.get_by_role("searchbox", name="Search chats").fill("")
    choose("Archive")
    expect(row).to_have_count(0)
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(row).to_be_visible()
    choose("Delete")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()


def test_a_long_thread_opens_at_its_end_and_keeps_its_beginning(open_page: OpenPage, session_mesh: Mesh) -> None:
    person = open_page()
    expect(person.composer).to_be_visible()
    person.visit(f"/t/{fill(session_mesh, person, 230)}")
    person.sees(LAST)
    page = person.page
    first = page.get_by_text("What of lighthouse 1?", exact=True)

    def to_the_beginning() -> None:
        # As a person does it: again and again, while older messages come.
        for _ in range(100):
            page.locator(".scroller").evaluate(
                "scroller => { scroller.dispatchEvent(new WheelEvent('wheel', {deltaY: -1})); scroller.scrollTop = 0; }"
            )
            page.wait_for_timeout(100)
            if first.count() and first.is_visible():
                return
        expect(first).to_be_visible()

    to_the_beginning()
    # Later only its end is read again: what is behind it is joined to what was there.
    person.send("tokens=6 seed=37")
    person.sees(flat(expected_text("tokens=6 seed=37")))
    person.ended()
    to_the_beginning()
    page.get_by_role("button", name="new below").or_(page.get_by_role("button", name="New text below")).click()
    person.sees(flat(expected_text("tokens=6 seed=37")))


def test_what_a_model_writes_does_no_harm(open_page: OpenPage) -> None:
    person = open_page()
    person.send(HARM)
    person.ended()
    person.send("echo")
    person.sees("bold")
    person.ended()
    # Nothing ran, nothing was asked for (the fixture watches), and a picture became a link.
    assert person.page.evaluate("window.harmed") is None
    body = person.answer.locator(".body")
    assert body.locator("img, script, style, iframe, [onclick]").count() == 0
    assert body.locator("a[href^=javascript]").count() == 0
    expect(body.get_by_role("link", name="track (image)")).to_be_visible()
    expect(body.locator("strong", has_text="bold")).to_be_visible()


def test_the_keyboard_reaches_everything(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    expect(person.composer).to_be_focused()
    page.keyboard.press("Control+k")
    expect(page.get_by_role("combobox", name="Command or chat")).to_be_focused()
    page.keyboard.type("keyboard")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Control+.")
    expect(page.get_by_role("complementary", name="Developer panel")).to_be_visible()
    page.keyboard.press("Control+.")
    page.keyboard.press("Control+,")
    expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    page.keyboard.press("Escape")
    person.composer.fill("/ is typed here and ? too")
    expect(person.composer).to_have_value("/ is typed here and ? too")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_narrow_screen_in_the_dark(open_page: OpenPage) -> None:
    person = open_page(width=320, height=640, color_scheme="dark", has_touch=True, reduced_motion="reduce")
    page = person.page
    person.send("tokens=60 rate=100 seed=33")
    person.ended()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light dark"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", ground)[:3])) < 150, ground
    page.get_by_role("button", name="Chats").click()
    expect(page.get_by_role("navigation", name="Chats")).to_be_in_viewport()
    page.get_by_role("button", name="Close the list").click()
    assert page.evaluate("parseFloat(getComputedStyle(document.getElementById('composer')).fontSize)") >= 16


def test_a_screen_reader_is_told_of_begin_and_end_only(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    page.evaluate(
        """() => { window.said = []; new MutationObserver(() => {
             const text = document.querySelector('p.unseen[role=status]')?.textContent;
             if (text && window.said.at(-1) !== text) window.said.push(text);
           }).observe(document.body, {subtree: true, childList: true, characterData: true}); }"""
    )
    person.send("tokens=40 rate=60 seed=35")
    person.ended()
    expect(page.locator("p.unseen[role=status]")).to_have_text("Answer complete, 40 words")
    assert page.evaluate("window.said") == ["Answer started", "Answer complete, 40 words"]


def test_the_policy_and_what_is_kept(open_page: OpenPage) -> None:
    person = open_page()
    # The chat is there once the session is.
    expect(person.composer).to_be_visible(timeout=PATIENCE)
    response = person.page.request.get(f"{person.url}/", headers={"accept": "text/html"})
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    cookie = next(item for item in person.context.cookies() if item["name"].startswith("everthread_session"))
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    # No token where a script could read it.
    kept = person.page.evaluate("JSON.stringify(Object.entries(localStorage)) + document.cookie")
    assert "eyJ" not in json.dumps(kept)
