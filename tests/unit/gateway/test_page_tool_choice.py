"""What a page says of calling its tools: as the AI SDK writes it, or refused in a sentence."""

from typing import Any

import pytest
from contracts.registry import load_registry
from gateway.domain.problems import Refusal
from gateway.entrypoints.ai_sdk_tools import read_tools

MODELS = load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": "http://t/v1", "OLLAMA_BASE_URL": "http://t/v1"}).models
TOOLS = {"look": {"description": "Look."}, "ask": {}}


@pytest.mark.parametrize(
    ("given", "choice", "named"),
    [
        (None, "auto", ""),
        ("auto", "auto", ""),
        ("none", "none", ""),
        ("required", "required", ""),
        ({"type": "tool", "toolName": "ask"}, "function", "ask"),
    ],
)
def test_a_choice_goes_with_the_tools(given: Any, choice: str, named: str) -> None:
    brought = read_tools(TOOLS, given, None)
    assert brought is not None
    assert (brought.choice, brought.named) == (choice, named)


@pytest.mark.parametrize(
    ("tools", "choice", "model", "sentence"),
    [
        (TOOLS, {"type": "tool", "toolName": "other"}, "", "names 'other', which is none of `tools`"),
        (None, "required", "", "there are no `tools`"),
        ([], {"type": "tool", "toolName": "look"}, "", "there are no `tools`"),
        (TOOLS, "any", "", "as in the AI SDK"),
        (TOOLS, {"type": "function", "function": {"name": "look"}}, "", "as in the AI SDK"),
        (TOOLS, {"type": "tool", "toolName": ""}, "", "as in the AI SDK"),
        (TOOLS, "required", "ollama:llama3.2", "does not take 'required'"),
        (TOOLS, {"type": "tool", "toolName": "look"}, "ollama:llama3.2", "does not take the choice of one tool"),
    ],
)
def test_a_choice_that_cannot_be_kept_is_refused(tools: Any, choice: Any, model: str, sentence: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_tools(tools, choice, MODELS.get(model))
    assert (refused.value.status, sentence in refused.value.detail) == (422, True), refused.value.detail


def test_without_tools_there_is_nothing_to_choose() -> None:
    assert read_tools(None, None, None) is None
    assert read_tools({}, "auto", None) is None
