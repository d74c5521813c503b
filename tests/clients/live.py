"""The official JavaScript clients against running gateways (live.mjs): many requests at once, over one Node process."""

import asyncio
import itertools
import json
from typing import Any

from tests.clients.node import HERE, install


class LiveClients:
    """Starts on `start`. Each `ask` runs by itself; answers come in any order."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()

    async def start(self) -> None:
        """Install what is missing and start Node."""
        node = await asyncio.to_thread(install)
        self._process = await asyncio.create_subprocess_exec(
            str(node.path),
            str(HERE / "live.mjs"),
            cwd=HERE,
            env=node.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=64 * 1024 * 1024,
        )
        self._reading = asyncio.create_task(self._read())

    async def ask(self, kind: str, **request: Any) -> Any:
        """One request, its answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"kind": kind, "number": number, **request}).encode() + b"\n")
        await self._process.stdin.drain()
        async with asyncio.timeout(60):
            return await answer

    async def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.terminate()
            await self._process.wait()
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["number"])
            if "failed" in answer:
                waiting.set_exception(AssertionError(answer["failed"]))
            else:
                waiting.set_result(answer["answer"])
        for waiting in self._waiting.values():
            waiting.set_exception(AssertionError("the Node process ended"))
