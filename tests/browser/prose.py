"""An OpenAI-compatible upstream that answers in Markdown, for pictures of the page: what it says depends on nothing."""

import asyncio
import json
import re
from types import TracebackType
from typing import Any, Self

from aiohttp import web

ANSWERS = {
    "tide": """The tide is the sea following the moon, a little late.

1. **The moon pulls** on the near side of the Earth more than on its centre, and on the centre more than on the far side.
2. That difference stretches the water into *two* bulges, one below the moon and one opposite.
3. The Earth turns underneath, so most coasts meet a bulge about every 12 h 25 min.
4. The sun does the same at a bit less than half the strength: together at new and full moon (**spring tides**), against each other at the quarters (**neap tides**).
5. Coasts and depths shape the rest, which is why one bay has 15 metres and another hardly any.
""",
    "interval": """Sort by the start, then join what touches:

```python
def merge(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    \"\"\"Overlapping or touching intervals joined; O(n log n).\"\"\"
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def test_merge() -> None:
    assert merge([(5, 8), (1, 3), (2, 4)]) == [(1, 4), (5, 8)]
```

| input | output |
|---|---|
| `[(1, 3), (2, 4)]` | `[(1, 4)]` |
| `[(1, 2), (2, 3)]` | `[(1, 3)]` |
| `[]` | `[]` |

Touching intervals are joined here (`<=`); use `<` if they should stay apart.
""",
}
OTHER = "A lighthouse keeper found a letter in the lamp room. " * 60


class Prose:
    """Serves on a free port of loopback while entered; `rate` in words a second."""

    def __init__(self, rate: float = 60.0) -> None:
        self.rate = rate
        self.base_url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base_url = f"{site.name}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked: dict[str, Any] = await request.json()
        *_, last = asked["messages"]
        question = next(str(said["content"]) for said in reversed(asked["messages"]) if said["role"] == "user")
        text = next((answer for word, answer in ANSWERS.items() if word in question), OTHER)
        if last["role"] == "assistant":
            # A worker took over, and has the answer continued.
            text = text.removeprefix(str(last["content"]))
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        try:
            for word in ["", *re.findall(r"\S+\s*", text)]:
                delta = {"content": word} if word else {"role": "assistant", "content": ""}
                await self._send(response, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                await asyncio.sleep(1 / self.rate)
            end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            await self._send(response, end | {"usage": {"prompt_tokens": 96, "completion_tokens": len(text) // 4}})
            await response.write(b"data: [DONE]\n\n")
        except ConnectionResetError:
            pass
        return response

    @staticmethod
    async def _send(response: web.StreamResponse, chunk: dict[str, Any]) -> None:
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "gpt-4o-mini", **chunk}
        await response.write(b"data: " + json.dumps(body).encode() + b"\n\n")
