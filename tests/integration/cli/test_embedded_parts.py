"""The embedded parts are real servers: they answer, keep what they acknowledged, and do not outlive who started them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nats
import pytest
from everthread import embedded
from everthread.errors import RefusedError
from everthread.external import check_mongo, check_nats
from everthread.ports import free_port
from everthread.probes import accepts, alive
from pymongo import MongoClient


def gone(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


async def test_nats_keeps_what_it_acknowledged_before_a_kill(tmp_path: Path) -> None:
    first = embedded.start_nats(tmp_path)
    connection = await nats.connect(first.url)
    stream = connection.jetstream()
    await stream.add_stream(name="KEPT", subjects=["kept"])
    for number in range(20):
        await stream.publish("kept", str(number).encode())
    await connection.close()
    first.kill()

    second = embedded.start_nats(tmp_path)
    try:
        connection = await nats.connect(second.url)
        assert (await connection.jetstream().stream_info("KEPT")).state.messages == 20
        await connection.close()
    finally:
        assert second.stop() == 0


def test_mongo_is_a_replica_set_and_keeps_what_it_acknowledged_before_a_kill(tmp_path: Path) -> None:
    first = embedded.start_mongo(tmp_path)
    assert check_mongo(first.url) == "secantus"
    with (
        MongoClient[dict[str, object]](first.url) as client,
        client.start_session() as session,
        session.start_transaction(),
    ):
        client["test"]["kept"].insert_one({"_id": 1}, session=session)
    first.kill()

    second = embedded.start_mongo(tmp_path)
    try:
        with MongoClient[dict[str, object]](second.url) as client:
            assert client["test"]["kept"].find_one() == {"_id": 1}
    finally:
        assert second.stop() == 0


def test_a_mongo_without_a_replica_set_is_refused(tmp_path: Path) -> None:
    port = free_port()
    program = embedded.mongo_program(tmp_path, port)
    log = (tmp_path / "standalone.log").open("wb")
    process = subprocess.Popen([*program.arguments, "--standalone"], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 20
        while not accepts(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(RefusedError, match="is no replica set, so it has no transactions"):
            check_mongo(embedded.mongo_uri(port))
    finally:
        process.kill()
        process.wait()
        log.close()


def test_the_embedded_broker_is_new_enough(tmp_path: Path) -> None:
    part = embedded.start_nats(tmp_path)
    try:
        assert check_nats(part.url).startswith("2.")
    finally:
        part.stop()


def test_the_model_answers_in_the_openai_shape_and_goes_on_from_a_prefix(tmp_path: Path) -> None:
    part = embedded.start_model(tmp_path)
    try:
        messages = [
            {"role": "user", "content": "Count from one to five in words."},
            {"role": "assistant", "content": "One, two, thr"},
        ]
        body = {"model": "smollm2-135m", "messages": messages, "stream": True, "max_tokens": 8, "temperature": 0}
        request = urllib.request.Request(
            f"{part.url}/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            lines = response.read().decode().splitlines()
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
        assert text
        assert not text.startswith("One")
        assert chunks[-1]["choices"][0]["finish_reason"] in ("length", "stop")
    finally:
        assert part.stop() == 0


STARTER = """
import sys, time, threading
from pathlib import Path
from everthread import embedded

def start():
    print(embedded.start_nats(Path(sys.argv[1])).pid, flush=True)
    threading.Event().wait()

if sys.argv[2] == "thread":
    threading.Thread(target=start, daemon=True).start()
    threading.Event().wait()
start()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_part_dies_with_who_started_it_even_by_sigkill(tmp_path: Path, where: str) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path), where], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(starter.stdout.readline())
    assert alive(pid)
    starter.kill()
    starter.wait()
    starter.stdout.close()
    assert gone(pid)


async def test_a_part_started_by_a_thread_outlives_the_thread(tmp_path: Path) -> None:
    part = await asyncio.to_thread(embedded.start_nats, tmp_path)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert embedded.nats_ready(part.port)
    os.kill(part.pid, signal.SIGTERM)
    assert part.stop() == 0


def test_a_part_that_cannot_start_says_why(tmp_path: Path) -> None:
    first = embedded.start_nats(tmp_path / "one")
    try:
        with pytest.raises(embedded.PartError, match=r"nats ended at start with code 1: .*address already in use"):
            embedded._start(embedded.nats_program(tmp_path / "two", first.port), first.port, first.url, lambda _: False)
    finally:
        first.stop()
