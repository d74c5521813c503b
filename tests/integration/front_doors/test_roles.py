"""Every door passes the caller's role on with the message: tools may be for administrators only."""

from typing import Any

import pytest

from tests.integration.front_doors.conftest import SmallMesh
from tests.plain_http import plain_client

MODEL = "embedded:smollm2-135m"
BODIES: dict[str, dict[str, Any]] = {
    "/api/chat": {
        "id": "chat",
        "trigger": "submit-message",
        "messages": [{"id": "one", "role": "user", "parts": [{"type": "text", "text": "hi"}]}],
    },
    "/openai/v1/chat/completions": {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]},
    "/openai/v1/responses": {"model": MODEL, "input": "hi"},
    "/agui/run": {
        "threadId": "thread",
        "runId": "run",
        "messages": [{"id": "one", "role": "user", "content": "hi"}],
        "tools": [],
        "context": [],
        "state": {},
        "forwardedProps": {},
    },
}


@pytest.mark.parametrize("user", ["root", "alice"])
async def test_a_run_knows_the_role_of_who_asked(mesh: SmallMesh, user: str) -> None:
    async with plain_client(base_url=mesh.bases[0], headers={"authorization": f"Bearer {user}"}) as client:
        for path, body in BODIES.items():
            answer = await client.post(path, json=body)
            assert answer.status_code == 200, (path, answer.text)
    runs = await mesh.service.rows("runs")
    assert [run["roles"] for run in runs] == [["admin" if user == "root" else "user"]] * len(BODIES)
