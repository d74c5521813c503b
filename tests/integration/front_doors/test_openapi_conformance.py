"""schemathesis against the OpenAPI document: whatever is sent, no 500 and no status that the document does not have."""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.integration.front_doors.conftest import SmallMesh
from tests.mesh import ROOT
from tests.plain_http import plain_client

SECONDS = 10
ENDLESS = ("/v1/threads/{thread_id}/events", "/v1/me/events")
"""Streams without an end."""


async def test_no_500_and_no_undocumented_status(mesh: SmallMesh, tmp_path: Path) -> None:
    headers = {"authorization": "Bearer root"}
    async with plain_client(base_url=mesh.bases[0], headers=headers) as client:
        thread = (await client.post("/v1/threads", json={"title": "t"})).json()["id"]
        accepted = (await client.post(f"/v1/threads/{thread}/messages", json={"content": "hi"})).json()
        await mesh.stored(accepted["run_id"])
        document = (await client.get("/openapi.json")).json()
    # So that calls are about something that is there; what is not is tried by the coverage phase.
    known = {
        "thread_id": thread,
        "run_id": accepted["run_id"],
        "message_id": accepted["message_id"],
        "response_id": "resp_" + accepted["run_id"].removeprefix("run_"),
        "chat_id": thread,
    }
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        # This small mesh has no documents and no sharing, which its gateway says.
        '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 503]\n'
        "[parameters]\n" + "".join(f'"path.{name}" = {json.dumps(value)}\n' for name, value in known.items())
    )
    report = tmp_path / "report.ndjson"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "st"),
        f"--config-file={config}",
        "run",
        f"{mesh.bases[0]}/openapi.json",
        "--header=Authorization: Bearer root",
        "--checks=not_a_server_error,status_code_conformance",
        "--phases=coverage,fuzzing",
        "--max-examples=4",
        f"--max-time={SECONDS}",
        "--seed=1",
        "--workers=2",
        "--request-timeout=8",
        "--no-shrink",
        "--continue-on-failure",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--warnings=off",
        "--no-color",
        f"--report-ndjson-path={report}",
        *(f"--exclude-path={path}" for path in ENDLESS),
        cwd=tmp_path,
        # Hypothesis makes its table of characters once; that takes longer than all of this.
        env=os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(90):
        said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-6000:]
    assert len(document["paths"]) > 30
