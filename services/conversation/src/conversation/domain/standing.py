"""What came of calls that were left to a client: of one call, what was told first stands."""

from collections.abc import Sequence

import msgspec
from contracts.codes import Code
from contracts.parts import ToolCallPart

from conversation.domain.entities import Message
from conversation.domain.refusals import RefusedError


def are_told_again(results: Sequence[ToolCallPart], standing: Message) -> bool:
    """Whether all of these stand in a message of results; False where it lacks one. Refuses one that stands otherwise. The sentence
    says where, and not what: it may be shown where the thread is not."""
    stands = {part.tool_call_id: part for part in standing.parts if isinstance(part, ToolCallPart)}
    for result in results:
        other = stands.get(result.tool_call_id)
        if other is not None and _end(result) != _end(other):
            raise RefusedError(
                Code.ALREADY_ANSWERED,
                f"The tool call {result.tool_call_id[:80]!r} of {result.name[:80]!r} was answered before with another output, by "
                f"another tab or device. That one stands (message {standing.id}); this one was not stored. Load the chat again to "
                "see what followed.",
            )
    return all(result.tool_call_id in stands for result in results)


def _end(result: ToolCallPart) -> bytes:
    return msgspec.json.encode([result.state, result.output, result.error], order="sorted")
