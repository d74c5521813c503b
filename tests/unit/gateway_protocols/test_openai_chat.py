"""The chat.completions door, judged by both official SDKs, and what it does where a text was taken back."""

from typing import Any

import httpx2
import openai
from contracts import events as e
from contracts.parts import ToolCallPart
from gateway.domain.protocols.frame import DONE, sse
from gateway.domain.protocols.openai_chat import ChatMapping, completion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clients.node import NodeClients
from tests.run_logs import AT, RUN, fold, run_logs

SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def frames_of(log: list[e.RunEvent], *, include_usage: bool = True) -> list[str]:
    mapping = ChatMapping(include_usage=include_usage)
    return [sse(frame).decode() for event in log for frame in mapping.feed(event)]


def python_stream(frames: list[str]) -> tuple[str, str | None, Any]:
    """What the Python SDK's `.stream()` helper has: text, error code, final completion."""
    body = "".join(frames).encode() + DONE
    transport = httpx2.MockTransport(
        lambda _: httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})
    )
    text = ""
    with (
        httpx2.Client(transport=transport) as http,
        openai.OpenAI(api_key="k", base_url="http://t/openai/v1", http_client=http, max_retries=0) as client,
    ):
        try:
            with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "hi"}]) as stream:
                for event in stream:
                    if event.type == "content.delta":
                        text += event.delta
                return text, None, stream.get_final_completion()
        except openai.APIError as error:
            return text, error.code, None
        except openai.LengthFinishReasonError as error:
            return text, None, error.completion


def pending_calls(log: list[e.RunEvent]) -> list[str]:
    parts = fold(log).message_parts
    return [part.tool_call_id for part in parts if isinstance(part, ToolCallPart) and part.state == "pending"]


@SETTINGS
@given(log=run_logs())
def test_both_clients_have_the_stored_text_or_an_error_that_says_why(
    clients: NodeClients, log: list[e.RunEvent]
) -> None:
    frames, end, content = frames_of(log), log[-1], fold(log).content
    answer = clients.ask("openai_chat", frames=frames)
    text, code, final = python_stream(frames)
    taken_back = '"text_retracted"' in frames[-1]
    assert answer["plain"]["content"] == text
    if taken_back or isinstance(end, e.RunFailed):
        assert answer["error"] is not None
        assert answer["plain"]["error"] is not None
        assert code == ("text_retracted" if taken_back else "upstream_unavailable")
        assert taken_back or text == content
        return
    assert answer["error"] is None
    assert answer["plain"] == {"content": content, "error": None}
    assert text == content
    choice = answer["completion"]["choices"][0]
    assert (choice["message"].get("content") or "") == content
    assert (final.choices[0].message.content or "") == content
    assert final.usage.completion_tokens == fold(log).usage.output_tokens
    assert answer["completion"]["usage"]["prompt_tokens"] == fold(log).usage.input_tokens
    wanted = pending_calls(log) if isinstance(end, e.RunCompleted) else []
    assert [call["id"] for call in choice["message"].get("tool_calls") or []] == wanted
    assert [call.id for call in final.choices[0].message.tool_calls or []] == wanted
    if wanted:
        assert choice["finish_reason"] == "tool_calls"
    elif isinstance(end, e.RunCancelled):
        assert choice["finish_reason"] == "cancelled"


@given(log=run_logs())
def test_what_was_shown_is_only_wrong_where_words_changed(log: list[e.RunEvent]) -> None:
    """The stream ends early only if some retraction really was followed by other words than those shown."""
    if '"text_retracted"' not in "".join(frames_of(log)):
        return
    assert any(isinstance(event, e.TextRetracted) for event in log)
    texts, shown = [], ""
    for at in range(len(log) + 1):
        texts.append(fold(log[:at]).content)
        shown = max(shown, texts[-1], key=len) if texts[-1].startswith(shown) else shown
    assert any(not text.startswith(shown) and not shown.startswith(text) for text in texts) or texts[-1] != shown


@given(log=run_logs(), data=st.data())
def test_the_same_prefix_gives_the_same_frames(log: list[e.RunEvent], data: st.DataObject) -> None:
    prefix = frames_of(log[: data.draw(st.integers(0, len(log)))])
    assert frames_of(log)[: len(prefix)] == prefix


@given(log=run_logs())
def test_the_whole_answer_is_the_streams(log: list[e.RunEvent]) -> None:
    state = fold(log)
    whole = completion(
        run_id=RUN,
        created_at=AT,
        model="m",
        status="complete",
        finish_reason="stop",
        parts=state.message_parts,
        usage=state.usage,
    )
    assert (whole["choices"][0]["message"]["content"] or "") == state.content
    assert [call["id"] for call in whole["choices"][0]["message"].get("tool_calls", [])] == pending_calls(log)


@given(log=run_logs())
def test_no_usage_chunk_unless_asked(log: list[e.RunEvent]) -> None:
    assert '"usage"' not in "".join(frames_of(log, include_usage=False))
