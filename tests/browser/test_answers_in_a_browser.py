"""A chat that cannot lose an answer, in a real browser: tabs close, networks go, workers die, and the text is the stored one."""

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.person import PATIENCE, flat
from tests.mesh import Mesh
from tests.upstream import expected_text

NETWORK = r"Failed to load resource|net::ERR_"
"""What a browser says by itself about a network that is not there."""


def test_a_closed_tab_loses_nothing(open_page: OpenPage) -> None:
    person = open_page()
    script = "tokens=100 rate=50"
    person.send(script)
    person.sees("lantern")
    address = person.page.url
    person.page.close()
    person.tab().goto(address)
    assert person.ended() == flat(expected_text(script))
    expect(person.answers).to_have_count(1)


def test_reloads_at_five_points_of_a_stream(open_page: OpenPage) -> None:
    person = open_page()
    script = "tokens=160 rate=40 seed=3"
    words = flat(expected_text(script)).split(" ")
    person.send(script)
    for at in (0, 25, 50, 75, 100):
        person.sees(words[at])
        person.page.reload()
        # What was there before the reload is there after it, once.
        person.sees(words[at])
    assert person.ended() == flat(expected_text(script))
    expect(person.answers).to_have_count(1)


def test_offline_and_online_again(open_page: OpenPage) -> None:
    person = open_page()
    person.expects(NETWORK)
    script = "tokens=120 rate=40 seed=5"
    person.send(script)
    person.sees(flat(expected_text(script)).split(" ")[10])
    person.context.set_offline(True)
    expect(person.page.get_by_text("Offline")).to_be_visible()
    person.composer.fill("a draft that must stay")
    person.context.set_offline(False)
    assert person.ended() == flat(expected_text(script))
    expect(person.page.get_by_text("Offline")).to_be_hidden()
    expect(person.composer).to_have_value("a draft that must stay")


def test_a_message_written_offline_is_sent_once(open_page: OpenPage) -> None:
    person = open_page()
    person.expects(NETWORK)
    expect(person.composer).to_be_visible()
    person.context.set_offline(True)
    person.send("tokens=12 seed=8")
    expect(person.page.locator(".status")).to_contain_text("Not sent yet")
    person.context.set_offline(False)
    assert person.ended() == flat(expected_text("tokens=12 seed=8"))
    expect(person.page.get_by_role("article", name="Your message")).to_have_count(1)


def test_the_gateway_dies_in_mid_stream(open_page: OpenPage, session_mesh: Mesh) -> None:
    person = open_page()
    person.expects(NETWORK)
    script = "tokens=150 rate=30 seed=6"
    person.send(script)
    person.sees(flat(expected_text(script)).split(" ")[10])
    session_mesh.signal("gateway-1", 9)
    assert person.ended() == flat(expected_text(script))
    expect(person.answers).to_have_count(1)


def test_two_browsers_on_one_thread(open_page: OpenPage) -> None:
    one = open_page("pair")
    first = "tokens=80 rate=40 seed=11"
    one.send(first)
    one.sees(flat(expected_text(first)).split(" ")[5])
    other = open_page("pair", f"/t/{one.thread}")
    other.sees(flat(expected_text(first)).split(" ")[5])
    assert one.ended() == other.ended() == flat(expected_text(first))
    second = "tokens=40 rate=40 seed=12"
    other.send(second)
    # The first browser is told, and joins the answer without being touched.
    one.sees(flat(expected_text(second)).split(" ")[5])
    assert one.ended() == other.ended() == flat(expected_text(second))


def test_the_worker_dies_by_the_demonstration_button(open_page: OpenPage, session_mesh: Mesh) -> None:
    person = open_page()
    script = "tokens=160 rate=40 seed=7"
    person.send(script)
    person.sees(flat(expected_text(script)).split(" ")[10])
    person.page.get_by_role("button", name="Kill its worker").click()
    expect(person.page.get_by_text("worker lost, continued")).to_be_visible()
    assert person.ended() == flat(expected_text(script))
    person.page.get_by_role("button", name="Inspect the run").click()
    person.page.get_by_role("tab", name="Run", exact=True).click()
    expect(person.page.get_by_text("text = stored")).to_be_visible()
    expect(person.page.locator(".workers li")).to_have_count(2)


def test_stop_from_another_tab(open_page: OpenPage) -> None:
    person = open_page()
    script = "tokens=2000 rate=40 seed=9"
    person.send(script)
    person.sees(flat(expected_text(script)).split(" ")[10])
    first = person.page
    person.tab().goto(first.url)
    person.sees(flat(expected_text(script)).split(" ")[10])
    person.page.get_by_role("button", name="Stop", exact=True).click()
    stopped = person.ended("cancelled")
    assert flat(expected_text(script)).startswith(stopped)
    expect(person.answer.locator(".figures")).to_contain_text("Stopped")
    person.page = first
    assert person.ended("cancelled") == stopped


def test_a_message_sent_meanwhile_is_answered_next(open_page: OpenPage) -> None:
    person = open_page()
    first, second = "tokens=100 rate=40 seed=13", "tokens=20 rate=40 seed=14"
    person.send(first)
    person.sees(flat(expected_text(first)).split(" ")[5])
    person.send(second)
    expect(person.page.get_by_text("Queued: answered after")).to_be_visible()
    expect(person.answers.first).to_have_attribute("data-status", "complete", timeout=PATIENCE)
    assert person.ended() == flat(expected_text(second))
    assert flat(person.answers.first.locator(".body").inner_text()) == flat(expected_text(first))


def test_another_answer_and_an_edit_are_branches(open_page: OpenPage) -> None:
    person = open_page()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)
        if len(held) > 1:
            route.continue_()

    person.page.route(re.compile(r"/v1/threads/\w+/messages(\?|$)"), hold)
    person.send("tokens=10 seed=21")
    assert person.ended() == flat(expected_text("tokens=10 seed=21"))
    # Asked for while what is stored is still being read behind the answer's end.
    while not held:
        person.page.wait_for_timeout(20)
    person.answer.get_by_role("button", name="Answer again").click()
    held[0].continue_()
    expect(person.answer.get_by_role("group", name="Versions")).to_contain_text("2 / 2")
    person.ended()
    person.page.get_by_role("button", name="Edit", exact=True).click()
    person.page.get_by_role("textbox", name="Edit your message").fill("tokens=12 seed=22")
    person.page.get_by_role("button", name="Send", exact=True).first.click()
    question = person.page.get_by_role("article", name="Your message")
    expect(question.get_by_role("group", name="Versions")).to_contain_text("2 / 2")
    assert person.ended() == flat(expected_text("tokens=12 seed=22"))
    question.get_by_role("button", name="Version before").click()
    expect(person.answer.locator(".body")).to_contain_text(expected_text("tokens=10 seed=21").split(" ")[3])
    # The choice is in the address.
    person.page.reload()
    assert person.ended() == flat(expected_text("tokens=10 seed=21"))


@pytest.mark.parametrize(("script", "code"), [("status=400 message=no_such_thing", "upstream_rejected")])
def test_an_error_says_what_failed_and_what_to_do(open_page: OpenPage, script: str, code: str) -> None:
    person = open_page()
    person.send(script)
    failure = person.page.get_by_role("alert").filter(has_text="The answer failed")
    expect(failure).to_contain_text(code)
    expect(failure).to_contain_text(re.compile(r"run_\w{26}"))
    expect(failure.get_by_role("button", name="Copy code and run id")).to_be_visible()
    person.ended("error")


def test_a_chat_that_is_not_there(open_page: OpenPage) -> None:
    person = open_page("stranger")
    person.expects(r"status of 404")
    person.visit("/t/thr_01ARZ3NDEKTSV4RRFFQ69G5FAV")
    expect(person.page.get_by_role("heading", name="There is no such chat")).to_be_visible()
