"""Bodies that are no JSON are refused at each client's door; none of them is a fault of the gateway."""

from collections.abc import Callable
from typing import Any

import pytest
from contracts.codes import Code
from gateway.domain.problems import Refusal
from gateway.entrypoints import agui_input, ai_sdk_input, openai_input


def read_openai(body: bytes) -> Any:
    return openai_input.read_parameters(body, {"messages"}, {})


def read_agui(body: bytes) -> Any:
    return agui_input.read_messages(agui_input.read_request(body))


@pytest.mark.parametrize("read", [read_openai, read_agui, ai_sdk_input.read_chat])
@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\\ud800"])
def test_what_is_no_text_is_refused(read: Callable[[bytes], Any], text: bytes) -> None:
    message = b'{"id": "m", "role": "user", "content": "%b", "parts": [{"type": "text", "text": "%b"}]}' % (text, text)
    body = b'{"threadId": "t", "runId": "r", "tools": [], "context": [], "messages": [%b]}' % message
    with pytest.raises(Refusal) as refused:
        read(body)
    assert refused.value.code == Code.BODY_INVALID
