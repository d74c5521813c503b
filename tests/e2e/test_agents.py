"""Which agents there are, and that nobody can name another."""

from tests.mesh import Mesh, create_thread


async def test_agents_are_told_and_an_unknown_one_is_refused_before_anything_is_stored(mesh: Mesh) -> None:
    async with mesh.client() as client:
        found = (await client.get("/v1/agents")).json()
        assert found["default"] == found["items"][0]["name"] == "default"
        assert {"researcher", "writer"} <= {agent["name"] for agent in found["items"]}
        thread = await create_thread(client)
        for refused in (
            await client.post(f"/v1/threads/{thread}/messages", json={"content": "x", "agent": "nobody"}),
            await client.patch(f"/v1/threads/{thread}", json={"agent": "nobody"}),
            await client.post("/v1/threads", json={"agent": "nobody"}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (422, "agent_unknown")
        assert (await client.get(f"/v1/threads/{thread}/messages")).json()["items"] == []
