"""Which calls of a stored answer were left to the client that now brings results."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.client_tools import decode_tools, is_results
from contracts.codes import Code
from contracts.parts import ToolCallPart

from gateway.domain.problems import Refusal
from gateway.domain.records import Message
from gateway.domain.stored_log import parts_of
from gateway.domain.tool_turns import pending_calls
from gateway.handlers.read_chain import read_chain
from gateway.handlers.wait_recorded import wait_recorded
from gateway.ports import ClientThreads, Conversation


@dataclass(frozen=True, slots=True)
class Left:
    """`calls` were left to the client by the answer `message_id`, by id. `made` are the ids of all calls of the answer and of those
    that it goes on from; None where that is not known."""

    message_id: str
    calls: Mapping[str, ToolCallPart]
    made: frozenset[str] | None = None


_ABSENT: Final = Left("", {})
"""Of an answer that is not in the thread."""


async def find_left(
    conversation: Conversation,
    threads: ClientThreads,
    user_id: str,
    thread_id: str,
    message_id: str,
    given: Collection[str] | None,
    *,
    past_failures: bool = False,
    finished: Collection[str] | None = None,
) -> Left | None:
    """What a stored answer left; None where it is not in the thread. `given` are the names of the tools whose results stand before
    a new text, None where nothing is said but results: an answer that goes on is not waited for where none of them is the
    client's. `past_failures`: where an answer to results failed, those that it was to answer are open again. `finished` are the
    calls that have an output in the client's message, where that does not say to which answer behind the named one it has come.
    Raises Refusal."""
    doubted = given is not None

    async def look() -> Left | None:
        nonlocal doubted
        known = await read_chain(threads, user_id, thread_id, message_id, ahead=finished is not None)
        found = known.get(message_id)
        if found is None:
            return _ABSENT
        if finished is not None:
            found = _come_to(found, known, finished, told=given is None)
        if found.status not in ("pending", "generating"):
            answer = _before_failure(found, known) if past_failures else found
            left = pending_calls(parts_of(answer))
            return Left(answer.id, {call.tool_call_id: call for call in left}, _made(found, known))
        if doubted and given is not None:
            doubted = False
            run, _stored = await conversation.get_run(user_id, found.run_id)
            brought = decode_tools(run.client_tools)
            if brought is None or brought.names.isdisjoint(given):
                return Left(found.id, {})
        return None

    try:
        left = await wait_recorded(look)
    except Refusal as refusal:
        if refusal.code is Code.THREAD_NOT_FOUND:
            return None
        raise
    if left is None:
        raise Refusal(Code.THREAD_BUSY, "The answer that these results are for has not ended yet.")
    return None if left is _ABSENT else left


def _come_to(answer: Message, known: Mapping[str, Message], finished: Collection[str], *, told: bool) -> Message:
    """The last answer that goes on from this one, each from results that the client has. `told`: it brings results, so it is one
    that left calls which it has outputs of."""
    come_to = last = answer
    # Where one that goes on answers what came of these, the client is no further than they are.
    made = set(_made(answer, known) or ())
    while True:
        behind = [
            message
            for question in known.values()
            if question.parent_message_id == last.id and is_results(question.role, parts := parts_of(question))
            if all(isinstance(part, ToolCallPart) and part.tool_call_id in finished for part in parts)
            for message in known.values()
            if message.parent_message_id == question.id and message.role == "assistant"
        ]
        if not behind:
            return come_to
        last = behind[-1]
        left = {call.tool_call_id for call in pending_calls(parts_of(last))}
        goes_on = last.status in ("pending", "generating") and not made.issuperset(finished)
        if not told or goes_on or (left and left <= set(finished)):
            come_to = last
        made |= _calls_of(last)


def _before_failure(answer: Message, known: Mapping[str, Message]) -> Message:
    """The answer whose calls one that failed was to go on from; itself where it did not, or answers a person."""
    while answer.status == "error":
        question = known.get(answer.parent_message_id)
        before = None if question is None else known.get(question.parent_message_id)
        if question is None or before is None or not is_results(question.role, parts_of(question)):
            break
        answer = before
    return answer


def _calls_of(answer: Message) -> set[str]:
    return {part.tool_call_id for part in parts_of(answer) if isinstance(part, ToolCallPart)}


def _made(answer: Message, known: Mapping[str, Message]) -> frozenset[str] | None:
    made: set[str] = set()
    last: Message | None = answer
    while last is not None:
        made |= _calls_of(last)
        question = known.get(last.parent_message_id)
        if question is None:
            return None if last.parent_message_id else frozenset(made)
        if not is_results(question.role, parts_of(question)):
            return frozenset(made)
        last = known.get(question.parent_message_id)
    return None
