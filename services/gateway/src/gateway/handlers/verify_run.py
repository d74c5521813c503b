"""Does the fold of a run's log equal its stored message?"""

from dataclasses import dataclass

import msgspec
from contracts.codes import Code
from contracts.parts import plain_text

from gateway.domain.problems import Refusal
from gateway.domain.records import Message
from gateway.domain.stored_log import parts_of
from gateway.handlers.fold_run import live_state
from gateway.ports import Conversation, LogReader


@dataclass(frozen=True, slots=True)
class Verification:
    """`equal` is None where there is nothing to compare: the run still goes on, or its log has expired (`reason`)."""

    run_id: str
    equal: bool | None
    differences: tuple[str, ...]
    reason: str
    sequence: int


async def verify_run(conversation: Conversation, log: LogReader, user_id: str, run_id: str) -> Verification:
    """Compare; raises Refusal, UnavailableError."""
    run, message = await conversation.get_run(user_id, run_id)
    if message is None:
        return Verification(run_id, None, (), "the run has not ended, or its result is not stored yet", 0)
    if message.run_id and message.run_id != run.id:
        raise Refusal(Code.INTERNAL, "The stored message belongs to another run.")
    state = await live_state(log, run.thread_id, run.id)
    if state is None:
        return Verification(run_id, None, (), "the log has expired; the stored message is what there is", 0)
    stored = {
        "status": message.status,
        "content": message.content,
        "parts": msgspec.to_builtins(_kept(message)),
        "usage": message.usage,
        "cost_microusd": message.cost_microusd,
        "sequence": run.final_sequence,
    }
    folded = {
        "status": state.status,
        "content": state.content,
        "parts": msgspec.to_builtins(state.message_parts),
        "usage": state.usage,
        "cost_microusd": state.cost_microusd,
        "sequence": state.sequence,
    }
    differences = tuple(name for name, value in stored.items() if value != folded[name])
    return Verification(run_id, not differences, differences, "", state.sequence)


def _kept(message: Message) -> list[object]:
    parts = parts_of(message)
    if plain_text(parts) != message.content:
        return [*parts, "content differs from parts"]
    return list(parts)
