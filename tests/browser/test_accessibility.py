"""No barrier of serious or critical impact by axe-core's rules, dark and light; and where the keyboard goes."""

from playwright.sync_api import Page, expect

from tests.browser.conftest import WEB, OpenPage
from tests.browser.person import Person
from tests.browser.test_console import enter, go
from tests.browser.test_waits_in_a_browser import begin

MARKDOWN = (
    "# Title\n\n```python\ndef f(x):\n    # a remark\n    return 'a' + 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    "- [x] done\n\n> quoted [link](https://example.org) `code`"
)
RUN = """async (only) => {
  const found = await axe.run(document, { resultTypes: ["violations"], ...(only ? { runOnly: [only] } : {}) });
  return found.violations.filter((rule) => ["serious", "critical"].includes(rule.impact))
    .map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.html.slice(0, 160)).join("\\n    ")}`);
}"""


def check(page: Page, view: str) -> None:
    """What is on the screen has no serious barrier: every rule in the light, contrast in the dark."""
    if not page.evaluate("!!window.axe"):
        page.evaluate((WEB / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8"))
    found = []
    for scheme, only in (("light", None), ("dark", "color-contrast")):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        found += [f"{view}, {scheme}: {barrier}" for barrier in page.evaluate(RUN, only)]
    assert not found, "\n".join(found)


def focused(page: Page) -> str:
    """What the keyboard is at, by its label or text."""
    name: str = page.evaluate(
        "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
    )
    return name


def test_the_chat_has_no_barriers(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    expect(person.composer).to_be_visible()
    check(page, "a new chat")
    person.send(MARKDOWN)
    person.ended()
    person.send("echo")
    expect(page.locator("figure.code .hljs-keyword").last).to_be_visible()
    person.ended()
    check(page, "an answer")
    person.send("tokens=2000 rate=30 seed=61")
    person.sees(" ")
    person.composer.fill("a draft")
    check(page, "an answer being written")
    person.composer.fill("")
    page.get_by_role("button", name="Stop", exact=True).click()
    person.ended("cancelled")
    person.send("status=400 message=no")
    person.ended("error")
    page.keyboard.press("Control+.")
    for tab in ("Events", "Run", "State", "Replay", "Requests"):
        page.get_by_role("tab", name=tab, exact=True).click()
        check(page, f"the panel's {tab}")
    page.keyboard.press("Control+.")
    for keys, dialog in (("Control+k", "Commands"), ("Control+,", "Settings")):
        page.keyboard.press(keys)
        expect(page.get_by_role("dialog", name=dialog)).to_be_visible()
        check(page, dialog)
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Actions for").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Rename")).to_be_focused()
    check(page, "a chat's menu")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Model:").click()
    check(page, "the models")


def test_a_question_and_a_tool_have_no_barriers(open_page: OpenPage) -> None:
    person = open_page(width=320, height=700)
    begin(person, 'call=ask_user:{"question":"Which_one?","options":["Rome","Paris"]} then tokens=5 seed=62')
    form = person.page.get_by_role("form", name="Question")
    expect(form).to_be_visible()
    check(person.page, "a question")
    form.get_by_role("combobox").select_option("Paris")
    form.get_by_role("button", name="Answer").click()
    person.ended()
    person.answer.locator("[data-tool=ask_user] summary").click()
    check(person.page, "a tool")


def test_the_console_has_no_barriers(open_page: OpenPage) -> None:
    person = open_page()
    person.send("tokens=5 seed=63")
    person.ended()
    enter(person)
    page = person.page
    for view in page.get_by_role("navigation", name="Console").locator("li").all_inner_texts():
        go(person, view)
        expect(page.get_by_role("heading", level=1)).to_contain_text(view)
        expect(page.get_by_text("Reading…")).to_have_count(0)
        check(page, view)
        if view == "Runs":
            page.locator("tr[data-run] a").first.click()
            expect(page.get_by_role("table", name="Where the time went")).to_be_visible()
            check(page, "a run")
        if view == "Webhooks":
            page.get_by_role("button", name="New webhook").click()
            expect(page.get_by_role("checkbox", name="run.completed")).to_be_visible()
            check(page, "a new webhook")
        if view == "Rollout":
            page.get_by_role("textbox", name="Users to look up").fill("usr_1")
            check(page, "users looked up")
            page.get_by_role("button", name="Kill switch").click()
            check(page, "a question before a change")
            page.keyboard.press("Escape")


def test_the_keyboard_comes_back_to_where_it_was(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    person.send("tokens=5 seed=64")
    person.ended()
    commands, toggle = page.get_by_role("button", name="Commands"), page.locator("#panel-toggle")
    commands.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("combobox", name="Command or chat")).to_be_focused()
    page.keyboard.press("Control+k")
    expect(commands).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.type("settings")
    page.keyboard.press("Enter")
    settings = page.get_by_role("dialog", name="Settings")
    expect(settings).to_be_visible()
    inside = settings.locator("button:visible, input:visible, select:visible, textarea:visible").count()
    for _ in range(inside + 3):
        page.keyboard.press("Tab")
        # In the dialog, or in the browser's own bar: never on what lies behind.
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(commands).to_be_focused()
    toggle.focus()
    page.keyboard.press("Enter")
    page.get_by_role("tab", name="Events").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Run", exact=True)).to_be_focused()
    expect(page.get_by_role("tab", name="Run", exact=True)).to_have_attribute("aria-selected", "true")
    page.get_by_role("button", name="Close the panel").press("Enter")
    expect(toggle).to_be_focused()
    page.get_by_role("button", name="Edit", exact=True).press("Enter")
    expect(page.get_by_role("textbox", name="Edit your message")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Edit", exact=True)).to_be_focused()
    for name in ("Copy text", "Answer again", "Inspect the run", "Message", "Model: gpt-4o-mini"):
        page.keyboard.press("Tab")
        assert focused(page) == name


def test_the_list_of_chats_over_a_narrow_chat(open_page: OpenPage) -> None:
    person: Person = open_page(width=360, height=700)
    page = person.page
    expect(person.composer).to_be_visible()
    page.get_by_role("button", name="Chats").press("Enter")
    expect(page.get_by_role("button", name="Close the list")).to_be_focused()
    # What lies below cannot be reached.
    expect(page.locator("main")).to_have_attribute("inert", "")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Chats")).to_be_focused()
