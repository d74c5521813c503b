"""A scripted OpenAI-compatible server, in process (`UpstreamServer`) or of its own (`python -m tests.upstream --port P`).

The last user message chooses what happens: tests/upstream_script.py lists the directives. `GET /calls` tells what was asked
and whether the caller left; `DELETE /calls` forgets it. Chunks are encoded before the first is sent and go out on an
absolute schedule straight to the transport (about 10 µs of CPU a token), since this shares two cores with what is measured.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.upstream_frames import Frames, Piece, chunked
from tests.upstream_script import (
    Script,
    expected_reasoning,
    expected_text,
    malformed,
    parse_script,
    remaining,
    step_in,
    steps_of,
    tokens_of,
)

__all__ = ["UpstreamProcess", "UpstreamServer", "expected_reasoning", "expected_text"]

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


class _Pacer:
    """Writes pieces to one connection, the i-th at `start + i / rate`; no task and no drift."""

    def __init__(self, transport: asyncio.Transport, pieces: list[Piece], rate: float, call: dict[str, Any]) -> None:
        self._transport, self._rate, self._call = transport, rate, call
        self._pieces: list[Piece] = [chunked(piece) if isinstance(piece, bytes) else piece for piece in pieces]
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._next = 0
        self.done: asyncio.Future[None] = self._loop.create_future()

    def step(self) -> None:
        now = self._loop.time()
        out = []
        while self._next < len(self._pieces) and self._start + self._next / self._rate <= now + 0.0002:
            piece = self._pieces[self._next]
            out.append(piece if isinstance(piece, bytes) else chunked(piece()))
            self._next += 1
        if self._transport.is_closing() or self.done.done():
            return
        if out:
            self._transport.write(b"".join(out) if len(out) > 1 else out[0])
            self._call["chunks"] += len(out)
        if self._next < len(self._pieces):
            self._loop.call_at(self._start + self._next / self._rate, self.step)
        else:
            self.done.set_result(None)


class UpstreamServer:
    """The server in this process: `async with UpstreamServer() as upstream: upstream.base_url`."""

    def __init__(self, port: int = 0, host: str = HOST) -> None:
        self._host = host
        self.calls: list[dict[str, Any]] = []
        self._seen: Counter[str] = Counter()
        self._port = port
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/calls", self._list_calls)
        app.router.add_delete("/calls", self._forget_calls)
        # A handler is cancelled when its caller leaves: that is how `disconnected_at` is known at once.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port, backlog=1024).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        return self._port

    @property
    def base_url(self) -> str:
        return f"http://{self._host}:{self._port}/v1"

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    async def _list_calls(self, _: web.Request) -> web.Response:
        return web.json_response({"count": len(self.calls), "calls": self.calls})

    async def _forget_calls(self, _: web.Request) -> web.Response:
        self.calls.clear()
        self._seen.clear()
        return web.json_response({"count": 0})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        messages = body.get("messages") or []
        asked = next((_content(m) for m in reversed(messages) if m.get("role") == "user"), "")
        call: dict[str, Any] = {
            "id": f"chatcmpl-{len(self.calls) + 1}",
            "at": time.time(),
            "body": body,
            "content": asked,
            "headers": {k.lower(): v for k, v in request.headers.items() if k.lower() != "authorization"},
            "authorized": "authorization" in request.headers,
            "chunks": 0,
            "finished_at": None,
            "disconnected_at": None,
        }
        self.calls.append(call)
        try:
            steps = steps_of(asked)
            script = parse_script(steps[min(step_in(messages), len(steps) - 1)])
            response = await self._answer(request, script, body, call)
        except (asyncio.CancelledError, ConnectionError):
            call["disconnected_at"] = time.time()
            raise
        call["finished_at"] = time.time()
        return response

    async def _answer(
        self, request: web.Request, script: Script, body: dict[str, Any], call: dict[str, Any]
    ) -> web.StreamResponse:
        self._seen[script.content] += 1
        if "hang" in script.flags:
            await asyncio.Event().wait()
        refused = self._refusal(script, body)
        if refused is not None:
            return refused
        messages: list[dict[str, Any]] = body["messages"]
        prompt = messages
        tokens = tokens_of(script, messages)
        if messages[-1].get("role") == "assistant" and script.prefix == "accept":
            tokens = remaining(tokens, _content(messages[-1]))
            prompt = messages[:-1]
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        if limit is not None and len(tokens) > limit:
            tokens, script = tokens[:limit], _with_finish(script, "length")
        prompt_tokens = sum(4 + len(_content(m).encode()) // 4 for m in prompt)
        frames = Frames(script, call["id"], str(body.get("model")), prompt_tokens)
        if not body.get("stream"):
            return await _whole(script, tokens, frames, call)
        if (body.get("stream_options") or {}).get("include_usage") is not True and script.usage == "last":
            frames = Frames(_without_usage(script), call["id"], str(body.get("model")), prompt_tokens)
        return await self._stream(request, script, tokens, frames, call)

    def _refusal(self, script: Script, body: dict[str, Any]) -> web.Response | None:
        headers = {}
        if script.retry_after == "date":
            headers["retry-after"] = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
        elif script.retry_after:
            headers["retry-after"] = script.retry_after
        error = {"message": script.message or "scripted error", "type": "scripted", "code": f"scripted_{script.status}"}
        if script.status != 200 and (script.times is None or self._seen[script.content] <= script.times):
            return web.json_response({"error": error}, status=script.status, headers=headers)
        if "error_body" in script.flags:
            return web.json_response({"error": error})
        messages = body.get("messages") or [{"role": ""}]
        if wrong := malformed(messages):
            return web.json_response({"error": {"message": wrong, "type": "scripted"}}, status=400)
        if messages[-1].get("role") == "assistant" and script.prefix == "refuse":
            error["message"] = "the last message must be from the user"
            return web.json_response({"error": error}, status=400)
        return None

    async def _stream(
        self, request: web.Request, script: Script, tokens: list[str], frames: Frames, call: dict[str, Any]
    ) -> web.StreamResponse:
        text = frames.text(tokens)
        breaks = [n for n in (script.cut_after, script.stall_after, script.error_after) if n is not None]
        shown = text[: min(breaks)] if breaks else text
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "no-cache"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the caller left")
        if script.delay:
            await asyncio.sleep(script.delay)
        transport.write(chunked(frames.opening()))
        pieces = [*frames.reasoning(), *shown]
        if script.rate:
            pacer = _Pacer(transport, pieces, script.rate, call)
            pacer.step()
            try:
                await pacer.done
            finally:
                pacer.done.cancel()
        else:
            await _at_once(transport, pieces, "split" in script.flags)
            call["chunks"] += len(pieces)
        if script.stall_after is not None:
            await asyncio.Event().wait()
        if script.cut_after is not None:
            return await _cut(script.cut, transport, response, frames)
        if script.error_after is not None:
            transport.write(chunked(frames.error()))
        else:
            transport.write(chunked(frames.ending(len(tokens))))
        await response.write_eof()
        return response


def _with_finish(script: Script, finish: str) -> Script:
    return Script(**{**script.__dict__, "finish": finish})


def _without_usage(script: Script) -> Script:
    return Script(**{**script.__dict__, "usage": "never"})


async def _at_once(transport: asyncio.Transport, pieces: list[Piece], split: bool) -> None:
    for index, piece in enumerate(pieces):
        data = piece if isinstance(piece, bytes) else piece()
        if split:
            middle = len(data) * (index % 5 + 1) // 7
            transport.write(chunked(data[:middle]))
            await asyncio.sleep(0)
            data = data[middle:]
        transport.write(chunked(data))
        if index % 256 == 255:
            await asyncio.sleep(0)


async def _cut(
    how: str, transport: asyncio.Transport, response: web.StreamResponse, frames: Frames
) -> web.StreamResponse:
    last = frames.text(["née "])[0]
    data = last if isinstance(last, bytes) else last()
    if how == "mid_utf8":
        transport.write(chunked(data[: data.index("é".encode()) + 1]))
    elif how == "mid_json":
        transport.write(chunked(data[: data.index(b'"delta"')]))
    if how == "reset":
        # What is written must reach the caller before the reset does, or the kernel throws it away.
        await asyncio.sleep(0.02)
        transport.abort()
        raise ConnectionResetError("cut as the script says")
    await response.write_eof()
    return response


async def _whole(script: Script, tokens: list[str], frames: Frames, call: dict[str, Any]) -> web.Response:
    if script.rate:
        await asyncio.sleep(len(tokens) / script.rate)
    message = {"role": "assistant", "content": "".join(tokens)}
    return web.json_response(
        {
            "id": call["id"],
            "object": "chat.completion",
            "created": 1,
            "model": call["body"].get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": script.finish}],
            "usage": frames.usage(len(tokens)),
        }
    )


class UpstreamProcess:
    """The same server as a process of its own: `with UpstreamProcess() as upstream: upstream.base_url`."""

    def __init__(self, port: int = 0, host: str = HOST) -> None:
        self._port, self._host = port, host
        self._process: subprocess.Popen[str] | None = None
        self.base_url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.upstream", "--port", str(self._port), "--host", self._host],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("ready "), f"the scripted upstream did not start: {line!r}"
        self.base_url = line.split()[1]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(5)
            if self._process.stdout is not None:
                self._process.stdout.close()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def calls_url(self) -> str:
        return self.base_url.removesuffix("/v1") + "/calls"

    def calls(self) -> list[dict[str, Any]]:
        """What was asked so far (blocking; for a test between two awaits of its own)."""
        import json

        with urllib.request.urlopen(self.calls_url) as response:
            found: list[dict[str, Any]] = json.load(response)["calls"]
            return found


async def _serve(port: int, host: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with UpstreamServer(port, host) as server:
        print(f"ready {server.base_url}", flush=True)
        await stopping.wait()


def main() -> None:
    """`python -m tests.upstream --port P`: prints `ready <base url>`, serves until SIGTERM."""
    import uvloop

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default=HOST)
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(arguments.port, arguments.host))


if __name__ == "__main__":
    main()
