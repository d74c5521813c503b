"""Where in the thread a new message belongs, and which run it may join."""

from collections.abc import Sequence
from dataclasses import replace

from contracts.codes import Code
from contracts.ids import MESSAGE, RUN
from contracts.parts import ToolCallPart

from conversation.domain.acceptance import Accepted, NewMessage
from conversation.domain.appending import last_appended
from conversation.domain.entities import DURABLE, OPEN, Message, Run, Thread
from conversation.domain.queueing import steerable
from conversation.domain.refusals import RefusedError, known_id, not_found
from conversation.domain.standing import are_told_again
from conversation.ports import Writes


async def find_place(writes: Writes, thread: Thread, message: NewMessage) -> tuple[NewMessage, Message | None]:
    """The message with its parent settled, and the stored question where it is answered anew."""
    if message.answers_message_id:
        named = await _message(writes, thread, message.answers_message_id)
        question = named if named.role != "assistant" else await _message(writes, thread, named.parent_message_id)
        if question.role != "user" and not question.is_results:
            raise RefusedError(
                Code.MESSAGE_NOT_FOUND, "Only a message of a user, or what came of tool calls, can be answered anew."
            )
        results = (
            tuple(part for part in question.parts if isinstance(part, ToolCallPart)) if question.is_results else ()
        )
        # Asked anew it is asked the same: with what the client brought, unless it brings something else.
        before = await writes.run(named.run_id) if named.run_id else None
        tools = message.client_tools or ("" if before is None else before.client_tools)
        context = message.context or ("" if before is None else before.context)
        anew = replace(message, content=question.content, results=results, client_tools=tools, context=context)
        return anew, question
    if message.replaces_message_id:
        replaced = await _message(writes, thread, message.replaces_message_id)
        if replaced.role != "user":
            raise RefusedError(
                Code.MESSAGE_NOT_FOUND, "Only a message of a user can be edited; have an answer made anew."
            )
        parent = replaced.parent_message_id
        return replace(message, parent_message_id=parent, from_root=not parent), None
    if message.parent_message_id:
        named = await _message(writes, thread, message.parent_message_id)
        return replace(message, parent_message_id=await _behind_appends(writes, thread, named)), None
    if message.from_root and not message.history:
        first = await _behind_appends(writes, thread, None)
        return replace(message, parent_message_id=first, from_root=not first), None
    return message, None


async def find_standing(writes: Writes, thread: Thread, message: NewMessage) -> Accepted | None:
    """What was accepted when the same results came before; None where they are the first, or an answer to those before failed. Two
    that come at once both change the thread, so that one of them begins again and finds the other. Refuses other results."""
    if not (message.results_once and message.results and message.parent_message_id):
        return None
    answer = await _message(writes, thread, message.parent_message_id)
    stubs = await writes.stubs(thread.id, after=answer.position)
    told = {stub.id for stub in stubs if stub.parent_id == answer.id}
    wanted = [stub.id for stub in stubs if stub.id in told or stub.parent_id in told]
    found = await writes.messages_of(wanted) if wanted else ()
    for before in found:
        if before.parent_message_id != answer.id or not before.is_results:
            continue
        answers = [one for one in found if one.parent_message_id == before.id and one.role == "assistant"]
        answered = next((one for one in reversed(answers) if one.status != "error"), None)
        run = None if answered is None else await writes.run(answered.run_id)
        if answered is not None and run is not None and are_told_again(message.results, before):
            return Accepted(
                message_id=before.id, assistant_message_id=answered.id, run_id=run.id, path=run.path, repeated=True
            )
    return None


async def run_to_join(writes: Writes, message: NewMessage, ahead: Sequence[Run]) -> Run | None:
    """The run that the message steers: the one it names, else the one that goes on; None where no such one can be steered."""
    if not message.steer_run_id:
        return steerable(ahead)
    run = await writes.run(known_id(RUN, message.steer_run_id))
    if run is None or run.thread_id != message.thread_id:
        raise not_found(RUN)
    if run.status not in OPEN or run.path != DURABLE:
        raise RefusedError(
            Code.RUN_FINISHED, "The run has ended already, or cannot be steered; send a message instead."
        )
    return run


async def _behind_appends(writes: Writes, thread: Thread, last: Message | None) -> str:
    """The id of the last message of those that internal services appended right behind this one; its own where none did. A
    client that names the last message it knows of so goes on behind what it has not heard of, and not beside it."""
    named = "" if last is None else last.id
    if named == thread.head:
        return named
    return last_appended(named, thread.head, await writes.appended_behind(thread.id, last))


async def _message(writes: Writes, thread: Thread, message_id: str) -> Message:
    found = await writes.message(thread.id, known_id(MESSAGE, message_id))
    if found is None:
        raise not_found(MESSAGE)
    return found
