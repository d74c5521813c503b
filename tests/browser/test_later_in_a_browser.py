"""Messages for later, and again and again."""

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.person import flat
from tests.browser.test_accessibility import check
from tests.upstream import expected_text


def test_a_message_for_later_waits_beside_the_chat_and_is_answered_then(open_page: OpenPage) -> None:
    person = open_page(width=320, height=700)
    page = person.page
    person.send("tokens=5 seed=81")
    person.ended()
    later = page.get_by_role("list", name="Sent later").get_by_role("listitem")
    person.composer.fill("tokens=5 seed=82")
    page.get_by_role("button", name="Send later").click()
    expect(page.get_by_role("dialog", name="Send later").get_by_label("At another time")).to_be_visible()
    check(page, "when to send")
    page.get_by_role("button", name="Tomorrow morning").click()
    expect(later).to_contain_text("tomorrow")
    expect(person.composer).to_have_value("")
    # The chat is free meanwhile, in the list too, and nothing of it is a branch.
    expect(page.locator(f"[data-thread={person.thread}]")).to_have_attribute("data-activity", "idle")
    person.send("tokens=6 seed=83")
    expect(person.answers).to_have_count(2)
    assert person.ended() == flat(expected_text("tokens=6 seed=83"))
    page.get_by_role("button", name="Do not send").click()
    expect(later).to_have_count(0)
    page.reload()
    assert person.ended() == flat(expected_text("tokens=6 seed=83"))
    expect(later).to_have_count(0)
    expect(page.get_by_role("group", name="Versions")).to_have_count(0)
    # One whose time comes while the page is open, sent from elsewhere.
    soon = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    sent = person.context.request.post(
        f"{person.url}/v1/threads/{person.thread}/messages",
        data={"content": "tokens=7 seed=84", "run_at": soon},
        headers={"origin": person.url},
    )
    assert sent.status == 202, sent.text()
    expect(later).to_contain_text("seed=84")
    person.sees(flat(expected_text("tokens=7 seed=84")))
    assert person.ended() == flat(expected_text("tokens=7 seed=84"))
    expect(later).to_have_count(0)
    expect(person.answers).to_have_count(3)


def test_a_first_message_for_later_begins_a_chat(open_page: OpenPage) -> None:
    person = open_page()
    person.composer.fill("tokens=5 seed=85")
    person.page.get_by_role("button", name="Send later").click()
    person.page.get_by_role("button", name="In an hour").click()
    expect(person.page.get_by_role("list", name="Sent later")).to_contain_text("seed=85")
    expect(person.answers).to_have_count(0)


def test_a_chat_whose_making_was_not_answered_is_made_once(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    made: list[str] = []

    def lose(route: Route) -> None:
        made.append(route.fetch().json()["id"])
        if len(made) > 2:
            route.continue_()
        else:
            route.abort()

    person.expects("net::ERR_FAILED")
    page.route(
        re.compile(r"/v1/threads$"), lambda route: lose(route) if route.request.method == "POST" else route.continue_()
    )
    person.composer.fill("tokens=5 seed=88")
    later = page.get_by_role("list", name="Sent later")
    for answered in (False, False, True):
        page.get_by_role("button", name="Send later").click()
        page.get_by_role("button", name="In an hour").click()
        expect(later if answered else page.get_by_role("alert")).to_contain_text(
            "seed=88" if answered else "cannot be reached"
        )
        expect(person.composer).to_have_value("" if answered else "tokens=5 seed=88")
    assert made == [person.thread] * 3


def test_a_timetable_is_paused_resumed_and_edited(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    person.send("tokens=5 seed=87")
    person.ended()
    schedules = f"{person.url}/v1/threads/{person.thread}/schedules"
    wanted = {"content": "What is new?", "cron": "30 8 * * 1-5", "time_zone": "Europe/Rome", "agent": "helper"}
    made = person.context.request.post(schedules, data=wanted, headers={"origin": person.url}).json()
    page.get_by_role("button", name="Send later").click()
    page.get_by_role("button", name="Again and again…").click()
    row = page.get_by_role("dialog", name="Repeating messages").locator("[data-schedule]")
    expect(row).to_contain_text("Monday to Friday at 08:30 (Europe/Rome) · next ")
    row.get_by_role("button", name="Pause “What is new?”").click()
    expect(row).to_contain_text("· paused")
    row.get_by_role("button", name="Edit “What is new?”").click()
    form = row.get_by_role("form", name="Edit")
    expect(form.get_by_label("Sent")).to_have_value("weekdays")
    agent = form.get_by_label("Agent")
    expect(agent).to_have_value("helper")
    check(page, "a timetable being edited")
    form.get_by_role("textbox", name="Message").fill("What is old?")
    form.get_by_label("Sent").select_option(label="every week")
    form.get_by_role("combobox", name="On", exact=True).select_option(label="Sunday")
    form.get_by_label("Model").select_option(label="large")
    # Somebody else is faster: one is told, keeps what one wrote, and decides anew.
    theirs = person.context.request.patch(
        f"{schedules}/{made['id']}", data={"paused": False}, headers={"origin": person.url, "if-match": '"2"'}
    )
    assert (theirs.status, theirs.headers["etag"]) == (200, '"3"')
    person.expects("status of 412")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("Somebody else changed this schedule")
    expect(form.get_by_role("textbox", name="Message")).to_have_value("What is old?")
    form.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("Every Sunday at 08:30 (Europe/Rome) · next ")
    expect(row).to_contain_text("· large · helper")
    edit = row.get_by_role("button", name="Edit “What is old?”")
    expect(edit).to_be_focused()
    # The agent, by the keyboard alone: taken away, and another one chosen.
    for letters, stored in (("as the", ""), ("help", "helper")):
        page.keyboard.press("Enter")
        form.get_by_label("Model").focus()
        page.keyboard.press("Tab")
        expect(agent).to_be_focused()
        page.keyboard.type(letters)
        page.keyboard.press("Tab")
        expect(form.get_by_role("button", name="Save")).to_be_focused()
        page.keyboard.press("Enter")
        expect(edit).to_be_focused()
        kept = person.context.request.get(f"{schedules}/{made['id']}").json()
        assert (kept["agent"], kept["model"], kept["content"]) == (stored, "openai:large", "What is old?")
    row.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("· paused")
    check(page, "a timetable that is paused")
    row.get_by_role("button", name="Resume “What is old?”").click()
    expect(row).to_contain_text("· next ")


def test_a_timetable_is_made_read_and_deleted(open_page: OpenPage) -> None:
    person = open_page()
    page = person.page
    person.send("tokens=5 seed=86")
    person.ended()
    page.get_by_role("button", name="Send later").click()
    page.get_by_role("button", name="Again and again…").click()
    dialog = page.get_by_role("dialog", name="Repeating messages")
    message = dialog.get_by_role("textbox", name="Message")
    message.fill("What is new in the harbour?")
    dialog.get_by_label("Sent").select_option(label="Monday to Friday")
    dialog.get_by_label("At", exact=True).fill("08:30")
    expect(dialog.get_by_label("Agent")).to_have_value("")
    dialog.get_by_label("Agent").select_option(label="helper")
    dialog.get_by_role("button", name="Repeat it").click()
    row = dialog.locator("[data-schedule]")
    expect(row).to_contain_text("What is new in the harbour?")
    expect(row).to_contain_text("Monday to Friday at 08:30 · next ")
    expect(row).to_contain_text("· helper")
    expect(message).to_have_value("")
    check(page, "a timetable")
    person.expects("status of 422")
    message.fill("Never")
    dialog.get_by_label("Sent").select_option(label="by a cron expression")
    dialog.get_by_label("Minute, hour").fill("71 8 * * *")
    dialog.get_by_role("button", name="Repeat it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("no cron expression")
    expect(message).to_have_value("Never")
    row.get_by_role("button", name="Delete “What is new").click()
    row.get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
