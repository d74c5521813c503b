"""The official JavaScript clients against running gateways (live.mjs): many requests at once, over one Node process."""

import asyncio
import itertools
import json
import subprocess
from threading import Thread
from typing import IO, Any, Self

from tests.clients.node import HERE, install

Waiting = dict[int, "asyncio.Future[Any]"]


class LiveClients:
    """One Node process for many tests, since its start is half a second of work: each test enters it, in a loop of its own, and
    finds nothing of the one before. `close` ends the process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: Waiting = {}
        self._numbers = itertools.count()

    async def __aenter__(self) -> Self:
        """Install what is missing and start Node, where it does not run."""
        if self._process is None:
            await asyncio.to_thread(self._start)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Forget the conversations. What is asked for still would go on into the next test: then Node ends too."""
        if self._waiting or self._process is None or self._process.poll() is not None:
            self.close()
        else:
            await self.ask("forget")

    async def ask(self, kind: str, **request: Any) -> Any:
        """One request, its answer. Each runs by itself; answers come in any order."""
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"kind": kind, "number": number, **request}).encode() + b"\n")
        self._process.stdin.flush()
        async with asyncio.timeout(60):
            return await answer

    def close(self) -> None:
        """End the process, if it runs; nobody is told."""
        self._waiting.clear()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._reading.join()
            self._process = None

    def _start(self) -> None:
        node = install()
        self._process = subprocess.Popen(
            [str(node.path), str(HERE / "live.mjs")],
            cwd=HERE,
            env=node.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._reading = Thread(target=_read, args=(self._process.stdout, self._waiting), daemon=True)
        self._reading.start()


def _read(answers: IO[bytes], waiting: Waiting) -> None:
    """Until the process ends: each answer to who waits for it, in the loop that is waited in."""
    with answers:
        for line in answers:
            answer = json.loads(line)
            _tell(waiting, answer["number"], answer)
    for number in list(waiting):
        _tell(waiting, number, {"failed": "the Node process ended"})


def _tell(waiting: Waiting, number: int, answer: dict[str, Any]) -> None:
    future = waiting.get(number)
    if future is None:
        return

    def tell() -> None:
        if waiting.pop(number, None) is None or future.done():
            return
        if "failed" in answer:
            future.set_exception(AssertionError(answer["failed"]))
        else:
            future.set_result(answer["answer"])

    future.get_loop().call_soon_threadsafe(tell)
