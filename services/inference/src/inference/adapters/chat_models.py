"""The model providers over their OpenAI-compatible chat-completions endpoint, read by aiohttp and msgspec.

The token loop costs per wake-up, so it holds no SDK object per chunk; tests check it against the openai SDK reading the same
bytes. A call is closed, and so stopped at the provider, by cancelling it.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import msgspec
from contracts.client_tools import ClientTools
from contracts.usage import Usage
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from runtime import genai, telemetry

from inference.adapters.chat_frames import (
    DONE,
    Choice,
    Chunk,
    Delta,
    EventLines,
    HalfCharacters,
    UnreadableError,
    decode_chunk,
    typed_texts,
    usage_of,
)
from inference.adapters.retry_after import retry_after
from inference.adapters.traced_text import TracedText
from inference.domain.tool_calls import ToolCallAssembler
from inference.domain.upstream_errors import UpstreamError, error_in_stream, error_of_status, incomplete, unavailable
from inference.ports import Generated, InputMessage, ModelCall, Sink
from inference.tools.domain.spec import client_tool, openai_tool

_tracer = telemetry.tracer("everthread.inference")
ERROR_BODY_BYTES: Final = 64 * 1024
AFTER_FINISH_SECONDS: Final = 5.0
"""How long the token counts and the end of the stream are waited for once the finish reason is there."""
_NO_LIMIT: Final = contextlib.nullcontext()


class ChatModels:
    """Implements ports.Models. `idle_seconds`: how long a provider may say nothing before the call is given up.
    `trace_text`: put the messages and the answer on the span; otherwise no text ever gets there."""

    def __init__(self, *, idle_seconds: float, connect_seconds: float, trace_text: bool = False) -> None:
        self._trace_text = trace_text
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_seconds, connect=connect_seconds, sock_read=idle_seconds
        )
        # One connection per run; nothing is gained by a limit below the worker's own slots.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60), timeout=timeout, auto_decompress=True
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        """See ports.Models."""
        model = call.model
        with _tracer.start_as_current_span(
            f"chat {model.upstream_name}",
            kind=SpanKind.CLIENT,
            record_exception=False,
            set_status_on_exception=False,
            attributes={
                genai.OPERATION_NAME: genai.CHAT,
                genai.PROVIDER_NAME: model.provider.name,
                genai.REQUEST_MODEL: model.upstream_name,
                genai.OUTPUT_TYPE: "text",
            },
        ) as span:
            if self._trace_text:
                sink = TracedText(call, sink, span)
            try:
                result = await self._call(call, sink, span)
            except UpstreamError as error:
                span.set_attribute(genai.ERROR_TYPE, error.code.value)
                span.set_status(Status(StatusCode.ERROR, error.detail))
                raise
            span.set_attribute(genai.FINISH_REASONS, (result.finish_reason,))
            if isinstance(sink, TracedText):
                sink.end(result.finish_reason)
            if result.usage is not None:
                span.set_attribute(genai.INPUT_TOKENS, result.usage.input_tokens)
                span.set_attribute(genai.OUTPUT_TOKENS, result.usage.output_tokens)
            return result

    async def _call(self, call: ModelCall, sink: Sink, span: Span) -> Generated:
        provider = call.model.provider
        headers = {"accept": "text/event-stream"}
        # A key that was read from a file often ends in a newline, which no header may hold.
        key = os.environ.get(provider.api_key_env, "").strip() if provider.api_key_env else ""
        if key:
            headers["authorization"] = f"Bearer {key}"
        telemetry.inject(headers)
        reading = _Reading(sink, span)
        try:
            async with self._session.post(
                f"{provider.base_url}/chat/completions",
                data=msgspec.json.encode(_request(call)),
                headers={**headers, "content-type": "application/json"},
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    raise await _refusal(response, call)
                received = await response.content.readany()
                if response.content_type == "application/json" or received.lstrip()[:1] == b"{":
                    return reading.whole(received + await response.read())
                while received and not reading.take(received):
                    if sink.is_full:
                        await sink.room()
                    # What comes after the finish reason is worth a moment, not the provider's whole silence.
                    wait = asyncio.timeout(AFTER_FINISH_SECONDS) if reading.is_finished else _NO_LIMIT
                    async with wait:
                        received = await response.content.readany()
                return reading.end()
        except aiohttp.ClientConnectorError as error:
            raise unavailable("could not be reached", detail=type(error).__name__) from error
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            return reading.broken(error)


def _request(call: ModelCall) -> dict[str, Any]:
    messages = [_message(message) for message in call.messages]
    if call.prefix:
        messages.append({"role": "assistant", "content": call.prefix})
    body: dict[str, Any] = {
        "model": call.model.upstream_name,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    tools = [openai_tool(spec) for spec in call.tools]
    if call.brought is not None:
        tools += [client_tool(tool) for tool in call.brought.tools]
        body |= _tool_wishes(call.brought)
    if tools:
        body["tools"] = tools
    if call.max_output_tokens is not None:
        body["max_tokens"] = call.max_output_tokens
    return body


def _tool_wishes(brought: ClientTools) -> dict[str, Any]:
    """Only what differs from what happens anyway: not every provider knows these."""
    wishes: dict[str, Any] = {} if brought.parallel else {"parallel_tool_calls": False}
    if brought.choice == "function":
        wishes["tool_choice"] = {"type": "function", "function": {"name": brought.named}}
    elif brought.choice != "auto":
        wishes["tool_choice"] = brought.choice
    return wishes


def _message(message: InputMessage) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    if not message.calls:
        return {"role": message.role, "content": message.content}
    calls = [
        {"id": call.tool_call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.calls
    ]
    # Some providers refuse an empty text beside calls, all take null.
    return {"role": message.role, "content": message.content or None, "tool_calls": calls}


async def _refusal(response: aiohttp.ClientResponse, call: ModelCall) -> UpstreamError:
    body = b""
    while len(body) < ERROR_BODY_BYTES and (received := await response.content.readany()):
        body += received
    try:
        said, kind, _ = _error_fields(msgspec.json.decode(body))
    except (ValueError, RecursionError):
        said, kind = body.decode("utf-8", "replace")[:2000], ""
    wait = retry_after(response.headers, datetime.now(UTC))
    return error_of_status(response.status, said=said, kind=kind, retry_after=wait, model=call.model.id)


def _error_fields(body: Any) -> tuple[str, str, int | None]:
    """`(message, type or code, status)` of an error body or an error object."""
    if isinstance(body, list) and body:  # Gemini puts its error into a list
        body = body[0]
    error = body.get("error", body) if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return str(error), "", None
    kind = " ".join(str(error[name]) for name in ("type", "code") if error.get(name) not in (None, ""))
    code = error.get("code")
    status = code if isinstance(code, int) else error.get("status")
    return str(error.get("message", "")), kind, status if isinstance(status, int) else None


class _Reading:
    """One stream on its way: what it has said so far and how it ended."""

    def __init__(self, sink: Sink, span: Span) -> None:
        self._sink, self._span = sink, span
        self._lines = EventLines()
        self._tools = ToolCallAssembler()
        self._refusal: list[str] = []
        self._result_usage: Usage | None = None
        self._finish_reason = ""
        self._has_begun = False
        self._asked_at = time.perf_counter()
        self._halves: HalfCharacters | None = None

    @property
    def is_finished(self) -> bool:
        """The finish reason has come; token counts may follow."""
        return bool(self._finish_reason)

    def take(self, received: bytes) -> bool:
        """Read what has come; True when the answer is over. Raises UpstreamError."""
        for data in self._lines.feed(received):
            # Event by event: one read may hold many, and nothing of what comes after the end is said.
            if self._event(data) or self._is_cut():
                return True
        return self._is_cut()

    def end(self) -> Generated:
        """The stream has ended (or is over). Raises UpstreamError where it broke off."""
        for data in self._lines.end():
            self._event(data, is_last=True)
        if not self._finish_reason:
            raise incomplete("ended the stream without saying that it was finished", detail="no finish reason")
        return self._generated()

    def broken(self, error: Exception) -> Generated:
        """The connection broke or fell silent. After the finish reason that is no loss."""
        if self._finish_reason:
            return self._generated()
        silent = isinstance(error, TimeoutError)
        if not self._has_begun:
            raise unavailable(
                "did not answer in time" if silent else "broke the connection", detail=type(error).__name__
            )
        raise incomplete("fell silent" if silent else "broke the connection", detail=type(error).__name__) from error

    def whole(self, body: bytes) -> Generated:
        """An answer that came as one JSON object: an error, or a completion of a provider that does not stream."""
        try:
            self._chunk(decode_chunk(body))
        except UnreadableError:
            raise unavailable("sent something unreadable", detail="no JSON") from None
        return self.end()

    def _event(self, data: bytes, *, is_last: bool = False) -> bool:
        if data == DONE:
            return True
        try:
            chunk = decode_chunk(data)
        except UnreadableError as error:
            if is_last:
                return False
            if error.chunk is None:
                raise incomplete("sent something unreadable", detail="no JSON") from None
            chunk, self._halves = error.chunk, self._halves or HalfCharacters()
        self._chunk(chunk)
        return False

    def _chunk(self, chunk: Chunk) -> None:
        error = chunk.error or (chunk.x_groq.error if chunk.x_groq is not None else None)
        if error:
            raise error_in_stream(*_error_fields(error))
        tokens = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        if tokens is not None and tokens.prompt_tokens is not None:
            self._result_usage = usage_of(tokens)
        if chunk.choices:
            self._choice(chunk.choices[0])

    def _choice(self, choice: Choice) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta)
        if choice.finish_reason == "error":
            raise error_in_stream(*_error_fields(choice.error or {}))
        if choice.finish_reason:
            self._finish_reason = choice.finish_reason

    def _delta(self, delta: Delta) -> None:
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            self._say(reasoning, is_reasoning=True)
        if isinstance(delta.content, str):
            if delta.content:
                self._say(delta.content, is_reasoning=False)
        elif delta.content:
            for is_reasoning, text in typed_texts(delta.content):
                if text:
                    self._say(text, is_reasoning=is_reasoning)
        if delta.refusal:
            self._refusal.append(delta.refusal)
        for entry in delta.tool_calls or ():
            self._tools.add(entry)

    def _say(self, text: str, *, is_reasoning: bool) -> None:
        if self._halves is not None and not (text := self._halves.join(text)):
            return
        if not self._has_begun:
            self._has_begun = True
            self._span.add_event("gen_ai.first_chunk")
            self._span.set_attribute(genai.TIME_TO_FIRST_CHUNK_ATTRIBUTE, time.perf_counter() - self._asked_at)
        if is_reasoning:
            self._sink.reasoning(text)
        else:
            self._sink.text(text)

    def _is_cut(self) -> bool:
        if self._sink.is_over and not self._finish_reason:
            self._finish_reason = "length"
            return True
        return False

    def _generated(self) -> Generated:
        return Generated(
            finish_reason=self._finish_reason,
            refusal="".join(self._refusal),
            usage=self._result_usage,
            tool_requests=self._tools.requests(),
        )
