"""A client comes back with a place of an answer whose log is gone: whatever was counted in the log, nothing is left out."""

from typing import Any

import httpx2
import openai
import pytest
from gateway.domain.protocols.openai_responses import MADE_OF_THE_STORED

from tests.clients.live import LiveClients
from tests.integration.front_doors.conftest import ANSWER, SmallMesh
from tests.plain_http import plain_client

MODEL = "embedded:smollm2-135m"


def forget_log(mesh: SmallMesh, run_id: str) -> None:
    """The run's log expires."""
    mesh.broker.streams["RUNS"].remove(lambda stored: f".{run_id}." in stored.entry.subject)


def output(response: dict[str, Any]) -> str:
    """The text of a response."""
    return "".join(part["text"] for item in response["output"] for part in item["content"])


async def test_a_response_begins_again_under_numbers_of_its_own(mesh: SmallMesh, clients: LiveClients) -> None:
    one: dict[str, Any] = {"bases": mesh.bases, "token": "alice"}
    whole = await clients.ask("responses", how="stream", body={"model": MODEL, "input": "hi"}, **one)
    run_id = mesh.worker.inputs[0].run_id
    await mesh.stored(run_id)
    forget_log(mesh, run_id)
    named = {"response_id": whole["last"]["id"]}
    for after in (0, 5, 9, whole["numbers"][-2]):
        for how in ("plain", "by_id"):
            again = await clients.ask("responses", how=how, **named, starting_after=after, **one)
            assert (again["error"], again["deltas"], output(again["last"])) == (None, ANSWER, ANSWER), (how, after)
    assert again["numbers"] == [MADE_OF_THE_STORED + number for number in range(len(again["numbers"]))]
    # These numbers are good for coming back as well: what they tell never changes.
    for had in range(len(again["numbers"]) - 1):
        after = again["numbers"][had]
        for how in ("plain", "by_id"):
            rest = await clients.ask("responses", how=how, **named, starting_after=after, **one)
            assert (rest["error"], rest["numbers"]) == (None, again["numbers"][had + 1 :]), how
    async with (
        openai.AsyncOpenAI(api_key="alice", base_url=mesh.bases[0] + "/openai/v1") as sdk,
        sdk.responses.stream(response_id=whole["last"]["id"], starting_after=9) as stream,
    ):
        text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert (text, final.output_text) == (ANSWER, ANSWER)


async def test_a_number_of_what_is_stored_says_nothing_where_the_log_is(mesh: SmallMesh, clients: LiveClients) -> None:
    one: dict[str, Any] = {"bases": mesh.bases, "token": "alice"}
    whole = await clients.ask("responses", how="stream", body={"model": MODEL, "input": "hi"}, **one)
    named = {"response_id": whole["last"]["id"]}
    again = await clients.ask("responses", how="plain", **named, starting_after=MADE_OF_THE_STORED + 3, **one)
    assert (again["deltas"], again["numbers"]) == (ANSWER, whole["numbers"])


@pytest.mark.parametrize("place", ["/stream?startIndex=7", ".1/stream", ".1/stream?startIndex=3"])
async def test_a_chat_is_to_be_reloaded(mesh: SmallMesh, clients: LiveClients, place: str) -> None:
    one: dict[str, Any] = {"id": "one", "bases": mesh.bases, "token": "alice", "transport": "workflow"}
    sent = await clients.ask("chat", what="send", text="hi", **one)
    run_id = sent["seen"][0]["headers"]["x-run-id"]
    await mesh.stored(run_id)
    forget_log(mesh, run_id)
    async with plain_client(base_url=mesh.bases[0], headers={"authorization": "Bearer alice"}) as http:
        refused: httpx2.Response = await http.get(f"/api/chat/{run_id}{place}")
    assert refused.status_code == 410
    assert "reload" in refused.text
    # The client comes to rest with that sentence instead of asking again and again.
    stale = {**one, "id": "stale", "chatId": "one", "startIndex": 7}
    answer = await clients.ask("chat", what="resume", **stale)
    assert (answer["status"], len(answer["seen"])) == ("error", 1)
    assert "reload to see it" in answer["error"]
    # Which is what a reload does: it asks for the whole, or for so much of the end.
    for start in (0, -3):
        loaded = {**one, "id": f"reloaded {start}", "chatId": "one", "startIndex": start}
        answer = await clients.ask("chat", what="resume", **loaded)
        assert (answer["status"], answer["error"]) == ("ready", None)
        parts = answer["messages"][-1]["parts"]
        assert start or "".join(part["text"] for part in parts if part["type"] == "text") == ANSWER
