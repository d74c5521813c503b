"""A plain SSE reader for tests: what goes over the wire, without any client's help."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2


@dataclass
class Frame:
    """One SSE frame as it was sent."""

    id: str = ""
    event: str = ""
    data: str = ""
    comments: list[str] = field(default_factory=list)

    @property
    def json(self) -> dict[str, Any]:
        """The data as a JSON object."""
        value: dict[str, Any] = json.loads(self.data)
        return value


async def frames(response: httpx2.Response) -> AsyncIterator[Frame]:
    """The frames of an event stream that carry an event; comments and `retry:` alone are passed over."""
    frame = Frame()
    async for line in response.aiter_lines():
        if not line:
            if frame.event or frame.data:
                yield frame
            frame = Frame()
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            frame.data += value
        elif name == "id":
            frame.id = value
        elif name == "event":
            frame.event = value


def text_of(events: list[dict[str, Any]]) -> str:
    """What a viewer has on the screen after these native events: deltas in order, retractions honoured."""
    shown: list[tuple[int, str | None, int, str]] = []
    for event in events:
        agent = event.get("agent")
        if event["type"] == "text.delta":
            shown.append((event["part"], agent, event["sequence"], event["delta"]))
        elif event["type"] == "text.retracted":
            shown = [text for text in shown if text[2] < event["from_sequence"] or agent not in (None, text[1])]
    return "".join(text[3] for text in sorted(shown, key=lambda text: text[0]))
