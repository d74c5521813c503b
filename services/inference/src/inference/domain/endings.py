"""How the work of an attempt ends, and what a finished model call means for the run."""

from dataclasses import dataclass
from typing import Final

from contracts.codes import RunFailure

from inference.domain.upstream_errors import refused

REFUSED: Final = "content_filter"
"""The finish reason of an answer that the model or the provider's filter declined to give."""
TOOL_SENTENCE: Final = (
    "The model asked for a tool, and none is offered to it. Ask in other words, or choose another model."
)


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer is whole."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ends without a whole answer."""

    code: RunFailure
    sentence: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person stopped it."""

    by: str


Ending = Completed | Failed | Stopped


def failure_of(*, finish_reason: str, refusal: str, asked_for_tools: bool) -> Failed | None:
    """How the run ends after a model call that came to its end; None where it goes on. `asked_for_tools`: though none were
    offered."""
    if asked_for_tools:
        return Failed(RunFailure.UPSTREAM_REJECTED, TOOL_SENTENCE)
    if refusal or finish_reason == REFUSED:
        error = refused(refusal)
        return Failed(error.code, error.sentence)
    return None
