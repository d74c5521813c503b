"""The length of what came of a client's tools is counted in characters, as the refusal says."""

import pytest
from contracts.codes import Code
from contracts.parts import ToolCallPart
from conversation.domain.acceptance import Earlier
from conversation.domain.limits import Limits, check_history, check_results
from conversation.domain.refusals import RefusedError

LIMITS = Limits(message_characters=20)
"""200 characters of results."""


def result(text: str) -> tuple[ToolCallPart, ...]:
    return (ToolCallPart(tool_call_id="c", name="look", state="completed", output=text),)


@pytest.mark.parametrize("letter", ["a", "\u20ac", "\U0001f4a1"])
def test_characters_count_and_not_bytes(letter: str) -> None:
    check_results(result(letter * 80), LIMITS)
    check_history([Earlier("tool", "", result(letter * 80))], LIMITS)
    with pytest.raises(RefusedError) as refused:
        check_results(result(letter * 200), LIMITS)
    assert refused.value.code is Code.MESSAGE_TOO_LONG
    with pytest.raises(RefusedError) as refused:
        check_history([Earlier("tool", "", result(letter * 200))], LIMITS)
    assert refused.value.code is Code.MESSAGE_TOO_LONG
