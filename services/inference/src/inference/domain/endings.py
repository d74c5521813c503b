"""How the work of an attempt ends, and what a finished model call means for the run."""

from dataclasses import dataclass

from contracts.codes import RunFailure

from inference.domain.upstream_errors import refused

TOOL_SENTENCE = "The model asked for a tool, and none is offered to it. Ask in other words, or choose another model."


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer is whole. `finish_reason` is None where the step had been finished by an earlier attempt."""

    finish_reason: str | None


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


def ending_of(*, finish_reason: str, refusal: str, asked_for_tools: bool) -> Ending:
    """What a model call that came to its end makes of the run."""
    if asked_for_tools:
        return Failed(RunFailure.UPSTREAM_REJECTED, TOOL_SENTENCE)
    if refusal or finish_reason == "content_filter":
        error = refused(refusal)
        return Failed(error.code, error.sentence)
    return Completed(finish_reason)
