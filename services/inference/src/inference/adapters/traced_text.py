"""The text of a model call on its span, in the shape of the GenAI conventions. Only where somebody has switched it on."""

import msgspec
from opentelemetry.trace import Span
from runtime import genai

from inference.ports import InputMessage, ModelCall, Sink


def _message(role: str, text: str, **more: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}], **more}


def _spoken(message: InputMessage) -> dict[str, object]:
    if message.role == "tool":
        part: dict[str, object] = {"type": "tool_call_response", "id": message.tool_call_id, "result": message.content}
        return {"role": "tool", "parts": [part]}
    calls = [
        {"type": "tool_call", "id": call.tool_call_id, "name": call.name, "arguments": call.arguments}
        for call in message.calls
    ]
    text = [{"type": "text", "content": message.content}] if message.content or not calls else []
    return {"role": message.role, "parts": [*text, *calls]}


class TracedText:
    """A sink that keeps what passes; the messages go onto the span at once, the answer at its end."""

    def __init__(self, call: ModelCall, sink: Sink, span: Span) -> None:
        self._sink, self._span = sink, span
        self._said: list[str] = []
        messages = [_spoken(message) for message in call.messages]
        if call.prefix:
            messages.append(_message("assistant", call.prefix))
        span.set_attribute(genai.INPUT_MESSAGES, msgspec.json.encode(messages).decode())

    def text(self, delta: str) -> None:
        """Sink.text."""
        self._said.append(delta)
        self._sink.text(delta)

    def reasoning(self, delta: str) -> None:
        """Sink.reasoning."""
        self._sink.reasoning(delta)

    @property
    def is_full(self) -> bool:
        """Sink.is_full."""
        return self._sink.is_full

    @property
    def is_over(self) -> bool:
        """Sink.is_over."""
        return self._sink.is_over

    async def room(self) -> None:
        """Sink.room."""
        await self._sink.room()

    def end(self, finish_reason: str) -> None:
        """Put the answer onto the span."""
        answer = [_message("assistant", "".join(self._said), finish_reason=finish_reason)]
        self._span.set_attribute(genai.OUTPUT_MESSAGES, msgspec.json.encode(answer).decode())
