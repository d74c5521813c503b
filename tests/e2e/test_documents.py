"""Documents from the upload to the passages, over real processes; a worker killed while it reads one."""

import asyncio
import signal
from typing import Any

import httpx2
import pytest

from tests.mesh import Mesh

MARKDOWN = {"content-type": "text/markdown"}


async def upload(client: httpx2.AsyncClient, text: str, *, title: str = "Notes", **query: str) -> dict[str, Any]:
    response = await client.post("/v1/documents", params={"title": title, **query}, content=text, headers=MARKDOWN)
    assert response.status_code == 202, response.text
    return dict(response.json())


async def read(client: httpx2.AsyncClient, document_id: str, within: float = 30, **query: str) -> dict[str, Any]:
    async with asyncio.timeout(within):
        while True:
            found = (await client.get(f"/v1/documents/{document_id}", params=query)).json()
            if found["state"] not in ("pending", "reading"):
                return dict(found)
            await asyncio.sleep(0.1)


async def test_an_upload_is_read_listed_and_deleted_and_nobody_else_sees_it(mesh: Mesh) -> None:
    async with mesh.client(user="reader") as client, mesh.client(user="stranger") as stranger:
        document = await upload(client, "# Keel\n\nThe keel of the Vega was laid in 1871 in Bremen.", title="Ships")
        assert document["state"] == "pending"
        ready = await read(client, document["id"])
        assert (ready["state"], ready["done"], ready["error"]) == ("ready", ready["total"], None)
        assert ready["total"] >= 1
        broken = await read(client, (await upload(client, " \n \n"))["id"])
        assert broken["state"] == "failed"
        assert "no text" in broken["error"]
        listed = (await client.get("/v1/documents", params={"limit": 1})).json()
        assert [item["id"] for item in listed["items"]] == [broken["id"]]
        rest = (await client.get("/v1/documents", params={"cursor": listed["next_cursor"]})).json()
        assert [item["id"] for item in rest["items"]] == [document["id"]]
        assert (await stranger.get(f"/v1/documents/{document['id']}")).status_code == 404
        assert (await stranger.delete(f"/v1/documents/{document['id']}")).status_code == 204
        assert (await client.get(f"/v1/documents/{document['id']}")).status_code == 200
        assert (await client.delete(f"/v1/documents/{document['id']}")).status_code == 204
        assert (await client.get(f"/v1/documents/{document['id']}")).status_code == 404


async def test_shared_documents_are_written_by_administrators_only(mesh: Mesh) -> None:
    admin = {"authorization": f"Bearer {mesh.token(role='admin')}"}
    async with mesh.client(user="reader") as client:
        refused = await client.post(
            "/v1/documents", params={"title": "x", "corpus": "shared-help"}, content="x", headers=MARKDOWN
        )
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        stored = await client.post(
            "/v1/documents", params={"title": "x", "corpus": "shared-help"}, content="Help.", headers=MARKDOWN | admin
        )
        assert stored.status_code == 202
        found = await read(client, stored.json()["id"], corpus="shared-help")
        assert (found["state"], found["corpus"]) == ("ready", "shared-help")


@pytest.mark.parametrize(
    ("query", "content", "media_type", "status", "code"),
    [
        ({"title": "x"}, b"x", "image/png", 415, "content_type_unsupported"),
        ({"title": "x"}, b"", "text/plain", 422, "document_unreadable"),
        ({}, b"x", "text/plain", 422, "query_invalid"),
        ({"title": "x", "corpus": "others"}, b"x", "text/plain", 422, "query_invalid"),
        ({"title": "x"}, b"x" * (10 * 1024 * 1024 + 1), "text/plain", 413, "body_too_large"),
    ],
    ids=["picture", "empty", "no title", "corpus", "too large"],
)
async def test_what_is_no_document_is_refused(
    mesh: Mesh, query: dict[str, str], content: bytes, media_type: str, status: int, code: str
) -> None:
    async with mesh.client(user="reader") as client:
        refused = await client.post(
            "/v1/documents", params=query, content=content, headers={"content-type": media_type}
        )
    assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_the_same_key_is_the_same_document(mesh: Mesh) -> None:
    async with mesh.client(user="reader") as client:
        answers = [
            await client.post(
                "/v1/documents", params={"title": "x"}, content=text, headers=MARKDOWN | {"idempotency-key": "one"}
            )
            for text in ("Once.", "Once.", "Twice.")
        ]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert (answers[2].status_code, answers[2].json()["code"]) == (422, "idempotency_mismatch")


async def test_a_document_is_read_whole_though_every_worker_is_killed(mesh: Mesh) -> None:
    text = "\n\n".join(f"## Part {number}\n\n" + f"Sentence {number} about ropes. " * 120 for number in range(150))
    async with mesh.client(user="killer") as client:
        document = await upload(client, text, title="Ropes")
        killed = {}
        for name in ("inference-1", "inference-2"):
            killed[name] = mesh.signal(name, signal.SIGKILL)
        await mesh.wait_ready(changed=killed)
        ready = await read(client, document["id"], within=60)
    assert (ready["state"], ready["error"]) == ("ready", None)
    assert ready["done"] == ready["total"] > 150
