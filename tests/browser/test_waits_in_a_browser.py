"""What a run asks of people, as forms, on more than one device."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from everthread_client.mesh import Mesh as ToolMesh
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.person import Person, flat
from tests.mesh import Mesh
from tests.upstream import expected_text


@pytest.fixture(scope="module")
def paid(session_mesh: Mesh) -> Iterator[list[int]]:
    """A service with the tool `pay`, which asks for an approval; what was paid."""
    amounts: list[int] = []
    url = session_mesh.command("nats-url").stdout.strip()
    loop = asyncio.new_event_loop()
    begun = threading.Event()

    async def serve() -> None:
        async with await ToolMesh.connect(url, service="books") as mesh:

            @mesh.tool(side_effects=True, approval=True)
            async def pay(amount: int) -> str:
                """Pay an amount."""
                amounts.append(amount)
                return f"paid {amount}"

            serving = asyncio.create_task(mesh.serve())
            begun.set()
            await serving

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(asyncio.wait([task])))
    thread.start()
    assert begun.wait(20)
    try:
        yield amounts
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        loop.close()


def begin(person: Person, script: str) -> None:
    """A thread with the agent that has tools, and a message in it."""
    expect(person.composer).to_be_visible()
    made = person.context.request.post(
        f"{person.url}/v1/threads", data={"agent": "helper"}, headers={"origin": person.url}
    )
    assert made.status == 201, made.text()
    person.visit(f"/t/{made.json()['id']}")
    person.send(script)


def test_an_approval_is_answered_on_a_second_device(open_page: OpenPage, paid: list[int]) -> None:
    desk = open_page("payer")
    begin(desk, 'call=pay:{"amount":7} then tokens=5 seed=41')
    expect(desk.page.get_by_role("form", name="Approval")).to_be_visible(timeout=30_000)
    expect(desk.page.locator(".status")).to_contain_text("Waiting for you")
    phone = open_page("payer", f"/t/{desk.thread}", width=390, height=780, has_touch=True)
    phone.page.get_by_role("button", name="Approve").click()
    for person in (phone, desk):
        person.sees(flat(expected_text("tokens=5 seed=41")))
        person.ended()
        expect(person.page.get_by_role("form", name="Approval")).to_have_count(0)
        expect(person.answer.locator("[data-tool=pay]")).to_contain_text("done")
    assert paid == [7]


def test_a_question_is_answered_in_a_form(open_page: OpenPage) -> None:
    person = open_page()
    begin(person, 'call=ask_user:{"question":"Which_one?","options":["Rome","Paris"]} then tokens=5 seed=42')
    form = person.page.get_by_role("form", name="Question")
    expect(form).to_contain_text("Which_one?", timeout=30_000)
    # It is still asked after a reload.
    person.page.reload()
    form.get_by_role("combobox").select_option("Paris")
    form.get_by_role("button", name="Answer").click()
    person.sees(flat(expected_text("tokens=5 seed=42")))
    person.ended()
    expect(person.answer.locator("[data-tool=ask_user]")).to_contain_text("done")

    # A call of a tool that a client brought is made by nobody here: it is neither running nor something to answer.
    function = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
    left = person.context.request.post(
        f"{person.url}/openai/v1/chat/completions",
        data={
            "model": "openai:large",
            "messages": [{"role": "user", "content": 'call=get_weather:{"city":"Rome"} tokens=4 seed=43'}],
            "tools": [{"type": "function", "function": function}],
        },
        headers={"origin": person.url},
    )
    assert left.status == 200, left.text()
    run = person.context.request.get(f"{person.url}/v1/runs/{left.headers['x-run-id']}").json()
    person.visit(f"/t/{run['thread_id']}")
    assert person.ended().startswith(flat(expected_text("tokens=4 seed=43")))
    call = person.answer.locator("[data-tool=get_weather]")
    expect(call.locator("summary")).to_contain_text("left to the client")
    expect(call.locator(".running")).to_have_count(0)
    expect(person.page.get_by_role("form", name="Question")).to_have_count(0)
    expect(person.page.get_by_text("Waiting for you")).to_have_count(0)
    call.locator("summary").click()
    expect(call).to_contain_text("Rome")
