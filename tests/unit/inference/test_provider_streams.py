"""The reader of model streams over real HTTP: every habit of the providers, cut anywhere, against the official SDK."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import structlog
from contracts.codes import RunFailure
from inference.adapters.chat_frames import EventLines
from inference.adapters.chat_models import ChatModels
from inference.adapters.retry_after import retry_after
from inference.domain.upstream_errors import UpstreamError
from inference.ports import ModelCall
from openai import AsyncOpenAI

from tests.unit.inference.provider_streams import DONE, STOP, STREAMS, TEXT, Recorded, body, chunk, event
from tests.unit.inference.raw_upstream import KEY, KEY_VARIABLE, RawUpstream, Said, ask, call_to, raw_upstream
from tests.upstream import UpstreamServer, expected_reasoning, expected_text


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    async with raw_upstream() as server:
        yield server


@pytest.fixture
async def models(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ChatModels]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    made = ChatModels(idle_seconds=0.3, connect_seconds=2.0)
    yield made
    await made.close()


def check(said: Said, recorded: Recorded) -> None:
    result = said.result
    assert result is not None
    assert ("".join(said.texts), "".join(said.thoughts)) == (recorded.text, recorded.reasoning)
    assert (result.finish_reason, result.usage, result.refusal) == (recorded.finish, recorded.usage, recorded.refusal)
    assert tuple((tool.tool_call_id, tool.name, tool.input) for tool in result.tool_requests) == recorded.tools


@pytest.mark.parametrize("name", STREAMS)
async def test_every_habit_whole_and_a_byte_at_a_time(name: str, upstream: RawUpstream, models: ChatModels) -> None:
    recorded = STREAMS[name]
    for pieces in ([recorded.body], [recorded.body[i : i + 1] for i in range(len(recorded.body))]):
        upstream.pieces = pieces
        check(await ask(models, upstream.base_url), recorded)


@pytest.mark.parametrize("name", ["crlf", "characters in halves", "tool calls in pieces, interleaved"])
async def test_every_cut(name: str, upstream: RawUpstream, models: ChatModels) -> None:
    recorded = STREAMS[name]
    for cut in range(1, len(recorded.body), 2):
        upstream.pieces = [recorded.body[:cut], recorded.body[cut:]]
        check(await ask(models, upstream.base_url), recorded)


@pytest.mark.parametrize("name", [name for name in STREAMS if not name.startswith("one whole")])
def test_lines_are_the_same_at_every_cut(name: str) -> None:
    data = STREAMS[name].body

    def lines_of(pieces: Sequence[bytes]) -> list[bytes]:
        lines = EventLines()
        return [*(found for piece in pieces for found in lines.feed(piece)), *lines.end()]

    whole = lines_of([data])
    assert len(whole) > 1
    for cut in range(len(data) + 1):
        assert lines_of([data[:cut], data[cut:]]) == whole


def test_data_of_several_lines_is_one_event() -> None:
    assert EventLines().feed(b'data: {"a":\ndata: 1}\n\nevent: x\n\n') == [b'{"a":\n1}']


async def _official(base_url: str) -> dict[str, Any]:
    """What the official SDK makes of the bytes."""
    found: dict[str, Any] = {"text": "", "reasoning": "", "refusal": "", "finish": "", "usage": None, "tools": {}}
    async with AsyncOpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="model", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        async for part in stream:
            found["usage"] = part.usage or found["usage"]
            for choice in part.choices:
                extra = choice.delta.model_extra or {}
                found["text"] += choice.delta.content or ""
                found["reasoning"] += extra.get("reasoning_content") or extra.get("reasoning") or ""
                found["refusal"] += choice.delta.refusal or ""
                found["finish"] = choice.finish_reason or found["finish"]
                for call in choice.delta.tool_calls or ():
                    known = found["tools"].setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                    known["id"] += call.id or ""
                    if call.function is not None:
                        known["name"] += call.function.name or ""
                        known["arguments"] += call.function.arguments or ""
    return found


@pytest.mark.parametrize("name", [name for name, recorded in STREAMS.items() if recorded.official])
async def test_the_official_sdk_reads_the_same(name: str, upstream: RawUpstream, models: ChatModels) -> None:
    data = STREAMS[name].body
    for pieces in ([data], [data[: len(data) // 3], data[len(data) // 3 :]]):
        upstream.pieces = pieces
        theirs = await _official(upstream.base_url)
        ours = await ask(models, upstream.base_url)
        assert ours.result is not None
        assert "".join(ours.texts) == theirs["text"]
        assert "".join(ours.thoughts) == theirs["reasoning"]
        assert ours.result.refusal == theirs["refusal"]
        assert ours.result.finish_reason == theirs["finish"]
        tools = [(call["id"], call["name"]) for _, call in sorted(theirs["tools"].items())]
        assert [(tool.tool_call_id, tool.name) for tool in ours.result.tool_requests] == tools
        if theirs["usage"] is None:
            assert ours.result.usage is None
        else:
            assert ours.result.usage is not None
            assert ours.result.usage.input_tokens == theirs["usage"].prompt_tokens
            assert ours.result.usage.output_tokens == theirs["usage"].completion_tokens


async def failure(models: ChatModels, base_url: str) -> tuple[UpstreamError, Said]:
    said = Said()
    with pytest.raises(UpstreamError) as caught:
        await models.generate(call_to(base_url), said)
    return caught.value, said


BROKEN: dict[str, tuple[bytes, RunFailure, str]] = {
    "no finish reason": (body(*TEXT), RunFailure.UPSTREAM_INCOMPLETE, "Grüße, Welt"),
    "no finish reason, no done": (body(*TEXT, done=""), RunFailure.UPSTREAM_INCOMPLETE, "Grüße, Welt"),
    "ended in a character": (
        body(*TEXT, done="")[: body(*TEXT[:2], done="").index("ü".encode()) + 1],
        RunFailure.UPSTREAM_INCOMPLETE,
        "",
    ),
    "ended in an object": (body(*TEXT, done="")[:-20], RunFailure.UPSTREAM_INCOMPLETE, "Grüße"),
    "no json": (body(*TEXT, done="data: {nonsense\n\n"), RunFailure.UPSTREAM_INCOMPLETE, "Grüße, Welt"),
    "no utf-8": (
        body(*TEXT, done="") + b'data: {"choices": "\xff"}\n\n',
        RunFailure.UPSTREAM_INCOMPLETE,
        "Grüße, Welt",
    ),
    "too deep": (
        body(*TEXT, done="") + b"data: " + b"[" * 20_000 + b"\n\n",
        RunFailure.UPSTREAM_INCOMPLETE,
        "Grüße, Welt",
    ),
    "an error object": (
        body(*TEXT, done=event({"error": {"message": "gone", "type": "server_error", "code": 502}})),
        RunFailure.UPSTREAM_UNAVAILABLE,
        "Grüße, Welt",
    ),
    "an error beside choices": (
        body(*TEXT, done=event({**chunk({}, "error"), "error": {"code": 429, "message": "slow down"}})),
        RunFailure.RATE_LIMITED,
        "Grüße, Welt",
    ),
    "finish reason error": (body(*TEXT, chunk({}, "error")), RunFailure.UPSTREAM_UNAVAILABLE, "Grüße, Welt"),
    "an error text": (body(*TEXT, done=event({"error": "rate limit reached"})), RunFailure.RATE_LIMITED, "Grüße, Welt"),
    "groq's error": (
        body(*TEXT, done=event({**chunk(), "x_groq": {"error": "over capacity"}})),
        RunFailure.UPSTREAM_UNAVAILABLE,
        "Grüße, Welt",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_breaks_in_the_middle(name: str, upstream: RawUpstream, models: ChatModels) -> None:
    data, code, text = BROKEN[name]
    upstream.pieces = [data]
    error, said = await failure(models, upstream.base_url)
    assert error.code is code
    assert "".join(said.texts) == text


async def test_a_connection_that_breaks(upstream: RawUpstream, models: ChatModels) -> None:
    upstream.pieces, upstream.cut = [body(*TEXT, done="")], True
    error, said = await failure(models, upstream.base_url)
    assert (error.code, "".join(said.texts)) == (RunFailure.UPSTREAM_INCOMPLETE, "Grüße, Welt")
    upstream.pieces = [body(*TEXT, STOP, done="")]
    said = await ask(models, upstream.base_url)
    assert "".join(said.texts) == "Grüße, Welt"


async def test_silence_ends_the_call(upstream: RawUpstream, models: ChatModels) -> None:
    upstream.pieces, upstream.hang = [body(*TEXT, done="")], True
    error, said = await failure(models, upstream.base_url)
    assert (error.code, "".join(said.texts)) == (RunFailure.UPSTREAM_INCOMPLETE, "Grüße, Welt")
    upstream.pieces = []
    error, _ = await failure(models, upstream.base_url)
    assert (error.code, error.retryable) == (RunFailure.UPSTREAM_UNAVAILABLE, True)


async def test_comments_keep_a_slow_provider_alive(models: ChatModels) -> None:
    async with UpstreamServer() as scripted:
        call = call_to(scripted.base_url)
        said = Said()
        script = "tokens=8 rate=10 keepalive split"
        messages = [type(call.messages[0])("user", script)]
        said.result = await models.generate(ModelCall(model=call.model, messages=messages), said)
        assert "".join(said.texts) == expected_text(script)


async def test_silence_after_the_finish_reason_is_no_failure(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.adapters.chat_models.AFTER_FINISH_SECONDS", 0.05)
    upstream.pieces, upstream.hang = [body(*TEXT, STOP, done="")], True
    patient = ChatModels(idle_seconds=60, connect_seconds=2)
    async with asyncio.timeout(5):
        said = await ask(patient, upstream.base_url)
    await patient.close()
    assert said.result is not None
    assert said.result.finish_reason == "stop"


async def test_cancelling_closes_the_connection(upstream: RawUpstream, models: ChatModels) -> None:
    upstream.pieces, upstream.hang = [body(*TEXT, done="")], True
    said = Said()
    call = asyncio.create_task(models.generate(call_to(upstream.base_url), said))
    while len(said.texts) < 2:
        await asyncio.sleep(0.001)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    async with asyncio.timeout(2):
        await upstream.left.wait()


async def test_nobody_listens(models: ChatModels) -> None:
    error, _ = await failure(models, "http://127.0.0.1:1/v1")
    assert (error.code, error.retryable) == (RunFailure.UPSTREAM_UNAVAILABLE, True)


REFUSED: list[tuple[str, Any, RunFailure, bool]] = [
    ("429 Too Many Requests", {"error": {"message": "slow down", "code": "rate_limit"}}, RunFailure.RATE_LIMITED, True),
    ("429 Too Many Requests", {"error": {"code": "insufficient_quota"}}, RunFailure.UPSTREAM_REJECTED, False),
    ("400 Bad Request", {"error": {"code": "context_length_exceeded"}}, RunFailure.CONTEXT_TOO_LONG, False),
    ("400 Bad Request", {"error": {"message": "unknown parameter"}}, RunFailure.UPSTREAM_REJECTED, False),
    ("400 Bad Request", {"error": {"code": "content_filter"}}, RunFailure.REFUSED, False),
    ("400 Bad Request", [{"error": {"message": "input is too long"}}], RunFailure.CONTEXT_TOO_LONG, False),
    ("401 Unauthorized", {"error": "bad key"}, RunFailure.UPSTREAM_REJECTED, False),
    ("404 Not Found", "<html>nothing here</html>", RunFailure.UPSTREAM_REJECTED, False),
    ("302 Found", "", RunFailure.UPSTREAM_REJECTED, False),
    ("500 Oops", "", RunFailure.UPSTREAM_UNAVAILABLE, True),
    ("503 Loading", {"error": {"message": "Loading model"}}, RunFailure.UPSTREAM_UNAVAILABLE, True),
    ("529 Overloaded", "x" * 200_000, RunFailure.UPSTREAM_UNAVAILABLE, True),
    ("200 OK", {"error": {"message": "overloaded", "code": 503}}, RunFailure.UPSTREAM_UNAVAILABLE, True),
    ("200 OK", {"error": {"message": "slow down", "code": 429}}, RunFailure.RATE_LIMITED, True),
]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/event-stream", ""])
@pytest.mark.parametrize(("status", "answer", "code", "retryable"), REFUSED)
async def test_refusals(
    status: str,
    answer: Any,
    code: RunFailure,
    retryable: bool,
    content_type: str,
    upstream: RawUpstream,
    models: ChatModels,
) -> None:
    data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
    upstream.status, upstream.content_type = status, content_type
    upstream.pieces = [data[:10], data[10:]]
    error, said = await failure(models, upstream.base_url)
    assert (error.code, error.retryable) == (code, retryable)
    assert said.texts == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (lambda: "retry-after: 7", 7.0),
        (lambda: f"retry-after: {format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)}", 29.0),
        (lambda: "x-ratelimit-reset-requests: 1m2.5s", 62.5),
        (lambda: "x-ratelimit-reset-tokens: 250ms", 0.25),
        (lambda: "x-ratelimit-reset: 12", 12.0),
        (lambda: "retry-after: soon", None),
        (lambda: "x-nothing: 1", None),
    ],
)
async def test_when_to_ask_again(
    header: Callable[[], str], expected: float | None, upstream: RawUpstream, models: ChatModels
) -> None:
    upstream.status, upstream.headers = "429 Too Many Requests", [header()]
    error, _ = await failure(models, upstream.base_url)
    assert error.retry_after == pytest.approx(expected, abs=1.1) if expected is not None else error.retry_after is None


def test_the_longer_of_two_limits_counts() -> None:
    headers = {"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "1h0m3s"}
    assert retry_after(headers, datetime.now(UTC)) == 3603.0
    assert retry_after({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}, datetime.now(UTC)) == 0.0


async def test_what_is_sent(upstream: RawUpstream, models: ChatModels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY + "\n")
    upstream.pieces = [body(*TEXT, STOP)]
    call = call_to(upstream.base_url, prefix="Gr", max_output_tokens=5)
    await models.generate(call, Said())
    head, _, sent = upstream.requests[0].partition(b"\r\n\r\n")
    assert f"authorization: bearer {KEY}".encode() in head.lower()
    assert json.loads(sent) == {
        "model": "model",
        "messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "Gr"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 5,
    }


async def test_the_key_is_nowhere(upstream: RawUpstream, models: ChatModels, caplog: pytest.LogCaptureFixture) -> None:
    """A provider that repeats the key, a broken connection, nobody there: not in an error, its causes, or a log."""
    caplog.set_level(logging.DEBUG)
    quoted = json.dumps(
        {"error": {"message": f"Incorrect API key provided: {KEY}", "type": f"auth {KEY[:3]}"}}
    ).encode()
    upstream.content_type = "application/json"
    with structlog.testing.capture_logs() as logs:
        for status, cut in (("401 Unauthorized", False), ("500 Oops", False), ("200 OK", True), ("200 OK", False)):
            upstream.status, upstream.cut, upstream.pieces = status, cut, [quoted]
            error: BaseException | None = (await failure(models, upstream.base_url))[0]
            while error is not None:
                assert KEY not in f"{error!r} {error} {getattr(error, 'detail', '')}"
                error = error.__cause__ or error.__context__
    assert KEY not in caplog.text + repr(logs)
    assert all(KEY.encode() in request for request in upstream.requests)


@pytest.mark.parametrize(
    "script",
    [
        "tokens=40 usage=every crlf",
        "tokens=40 usage=groq keepalive split",
        "tokens=40 usage=never no_done",
        "tokens=10 reasoning=5 reasoning_key=typed",
        "tokens=10 reasoning=5 reasoning_key=reasoning",
    ],
)
async def test_the_scripted_upstream_is_understood(script: str, models: ChatModels) -> None:
    async with UpstreamServer() as scripted:
        call, said = call_to(scripted.base_url), Said()
        messages = [type(call.messages[0])("user", script)]
        result = await models.generate(ModelCall(model=call.model, messages=messages), said)
    assert ("".join(said.texts), "".join(said.thoughts)) == (expected_text(script), expected_reasoning(script))
    assert (result.usage is None) == ("never" in script)


async def test_a_sink_that_is_over_ends_the_reading(upstream: RawUpstream, models: ChatModels) -> None:
    upstream.pieces, upstream.hang = [body(*TEXT, done="")], True
    said = Said(is_over=True)
    began = time.monotonic()
    said.result = await models.generate(call_to(upstream.base_url), said)
    assert said.result.finish_reason == "length"
    assert time.monotonic() - began < 60
    assert DONE


class TwoTexts(Said):
    """Wants no more than two."""

    def text(self, delta: str) -> None:
        super().text(delta)
        self.is_over = len(self.texts) >= 2


async def test_nothing_is_said_beyond_the_end_though_it_came_in_the_same_read(
    upstream: RawUpstream, models: ChatModels
) -> None:
    upstream.pieces = [body(*(chunk({"content": str(number)}) for number in range(9)), STOP)]
    said = TwoTexts()
    result = await models.generate(call_to(upstream.base_url), said)
    assert (said.texts, result.finish_reason, result.usage) == (["0", "1"], "length", None)
