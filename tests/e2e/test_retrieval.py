"""An answer that rests on the user's documents, by both paths: the passage goes to the model, its quote stays with the answer."""

import asyncio

import pytest

from tests.e2e.test_documents import read, upload
from tests.mesh import Mesh, create_thread, send, stored_answer
from tests.upstream import UpstreamProcess


@pytest.mark.parametrize("path", ["durable_event", "legacy_sync"])
async def test_an_answer_quotes_the_users_document_and_no_other(
    mesh: Mesh, upstream: UpstreamProcess, path: str
) -> None:
    fact = "The keel of the brig Vega was laid in Bremen in 1871."
    question = f"When was the keel of the brig Vega laid? ({path})"
    async with mesh.client(user=f"owner-{path}") as owner, mesh.client(user=f"other-{path}") as other:
        for client in (owner, other):
            client.headers["x-everthread-path"] = path
        document = await upload(owner, f"# Ships\n\n{fact}", title="Ships of the yard", url="https://example.org/ships")
        assert (await read(owner, document["id"]))["state"] == "ready"
        answers = []
        for client in (owner, other):
            thread = await create_thread(client)
            accepted = await send(client, thread, question)
            assert accepted["path"] == path
            answers.append(await stored_answer(client, thread, accepted["run_id"]))
    calls = [call for call in await asyncio.to_thread(upstream.calls) if call["content"] == question]
    assert [fact in str(call["body"]["messages"]) for call in calls] == [True, False]
    assert [answer["status"] for answer in answers] == ["complete", "complete"]
    (source,) = [part for part in answers[0]["parts"] if part["type"] == "source"]
    assert (source["title"], source["url"]) == ("Ships of the yard", "https://example.org/ships")
    assert "1871" in source["quote"]
    assert not [part for part in answers[1]["parts"] if part["type"] == "source"]
