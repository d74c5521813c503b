"""A thread with more than one person in it: links, roles, who is there, and what happens when a role is taken away."""

import re
import signal

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenPage
from tests.browser.person import Person, flat
from tests.browser.test_accessibility import check
from tests.browser.test_answers_in_a_browser import NETWORK
from tests.mesh import Mesh
from tests.upstream import expected_text


def people_of(person: Person) -> Locator:
    """The dialog, opened from the header."""
    person.page.locator("button.who").click()
    return person.page.get_by_role("dialog", name=re.compile("this chat"))


def make_link(dialog: Locator, what: str) -> str:
    """A link for one person, made in the dialog."""
    dialog.get_by_label("Who has it").select_option(label=what)
    dialog.get_by_role("button", name="Make a link").click()
    expect(dialog.get_by_role("button", name="Take back")).to_have_count(1)
    return dialog.get_by_role("textbox", name="Link").input_value()


def join(person: Person, link: str) -> None:
    """Follow a link, and accept."""
    person.page.goto(link)
    expect(person.page.get_by_role("heading", name="You are invited to a chat")).to_be_visible()
    person.page.get_by_role("button", name="Join").click()


def test_a_thread_is_shared_handed_over_and_lost(open_page: OpenPage, session_mesh: Mesh) -> None:
    owner = open_page("host")
    owner.send("tokens=20 seed=71")
    first = owner.ended()
    dialog = people_of(owner)
    link = make_link(dialog, "may read")
    assert link.startswith(f"{owner.url}/join/viewer#")
    expect(dialog.get_by_role("status")).to_contain_text("Shown this once")
    check(owner.page, "the dialog of people")

    guest = open_page("guest", width=320, height=700)
    guest.page.goto(link)
    # What it is, before one says yes.
    invitation = guest.page.locator(".join")
    expect(invitation).to_contain_text("seed=71")
    expect(invitation).to_contain_text(re.compile(r"User \w{4} invites you as a viewer\. The link is good until \w"))
    check(guest.page, "an invitation")
    # The token is in no history, and is still known after a reload, as after a sign-in that leads away and back.
    assert "#" not in guest.page.url
    guest.page.reload()
    guest.page.get_by_role("button", name="Join").click()
    assert guest.ended() == first
    # A viewer sees that and why there is nothing to write in, and no button that would be refused.
    expect(guest.page.get_by_text("To write in it, ask its owner")).to_be_visible()
    for name in ("Edit", "Answer again", "Send"):
        expect(guest.page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(guest.page.locator(f"[data-thread={owner.thread}] .shared")).to_have_attribute(
        "title", re.compile("^Shared by User .*viewer$")
    )
    assert guest.page.evaluate("document.documentElement.scrollWidth") <= 320
    check(guest.page, "a thread that one may read")

    # The owner's dialog hears of it; the link is used up.
    member = dialog.locator("li[data-member]").filter(has=owner.page.get_by_role("combobox"))
    expect(member).to_contain_text("is here")
    expect(dialog.get_by_role("button", name="Take back")).to_have_count(0)
    who = owner.page.locator("button.who")
    expect(who).to_have_attribute("aria-label", "Share; 1 other is here")

    # Presence heals with the connection, whose gateway is killed.
    owner.expects(NETWORK)
    guest.expects(NETWORK)
    with owner.page.expect_response(lambda response: "only=presence" in response.url and response.ok):
        session_mesh.signal("gateway-1", signal.SIGKILL)
    expect(who).to_have_attribute("aria-label", "Share; 1 other is here")
    guest.visit("/")
    expect(who).to_have_attribute("aria-label", "Share; nobody else is here now")
    guest.visit(f"/t/{owner.thread}")
    expect(who).to_have_attribute("aria-label", "Share; 1 other is here")

    member.get_by_role("combobox").select_option(label="May write")
    expect(guest.composer).to_be_visible()
    owner.page.keyboard.press("Escape")
    guest.composer.press_sequentially("tok")
    expect(owner.page.locator(".typing")).to_contain_text(re.compile(r"User \w{4} types"))
    expect(who).to_have_attribute("aria-label", re.compile("1 other is here; User .* types"))
    guest.send("tokens=10 seed=72")
    expect(owner.answers).to_have_count(2)
    assert owner.ended() == flat(expected_text("tokens=10 seed=72"))
    expect(owner.page.get_by_role("article", name=re.compile("^Message of User"))).to_contain_text("seed=72")
    expect(owner.page.locator(".typing")).to_have_count(0)

    # Another owner, who takes the first one out while an answer is written.
    dialog = people_of(owner)
    dialog.get_by_role("combobox", name=re.compile("may do")).select_option(label="Owner…")
    dialog.get_by_role("button", name="Hand over").click()
    expect(owner.page.get_by_role("dialog", name="People of this chat")).to_be_visible()
    expect(dialog.get_by_role("button", name="Leave this chat")).to_be_visible()
    owner.page.keyboard.press("Escape")
    guest.send("tokens=400 rate=40 seed=73")
    owner.sees(flat(expected_text("tokens=400 rate=40 seed=73")).split(" ")[8])
    owner.expects("status of 404")
    dialog = people_of(guest)
    dialog.get_by_role("button", name=re.compile("^Take User .* out$")).click()
    dialog.get_by_role("button", name="Take out", exact=True).click()
    expect(owner.page.get_by_role("heading", name="You are no longer in this chat")).to_be_visible()
    expect(owner.page.locator("[data-thread]")).to_have_count(0)
    expect(owner.answers).to_have_count(0)
    # It goes on for those who stay.
    guest.page.keyboard.press("Escape")
    expect(guest.answer).to_have_attribute("data-status", re.compile("generating|complete"))


def test_a_link_is_taken_back_and_a_thread_left(open_page: OpenPage) -> None:
    owner, guest = open_page(), open_page()
    owner.send("tokens=5 seed=74")
    owner.ended()
    dialog = people_of(owner)
    join(guest, make_link(dialog, "may write"))
    expect(guest.composer).to_be_visible()
    # It is used up; what is taken back is the next.
    expect(dialog.get_by_role("button", name="Take back")).to_have_count(0)
    link = make_link(dialog, "may read")
    dialog.get_by_role("button", name="Take back").click()
    expect(dialog.get_by_role("textbox", name="Link")).to_have_count(0)
    leaving = people_of(guest)
    leaving.get_by_role("button", name="Leave this chat").click()
    leaving.get_by_role("button", name="Leave", exact=True).click()
    expect(guest.page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    expect(guest.page.locator("[data-thread]")).to_have_count(0)
    expect(dialog.locator("li[data-member]")).to_have_count(1)
    guest.expects("status of 410")
    guest.page.goto(link)
    expect(guest.page.get_by_role("alert").filter(has_text="was taken back. Ask for a new one")).to_be_visible()
    expect(guest.page.get_by_role("button", name="Join")).to_have_count(0)
    check(guest.page, "an invitation that lets nobody in")
