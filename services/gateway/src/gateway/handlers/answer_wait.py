"""Answer what a run waits for: a durable command in its log, the first one by compare-and-set, from any device."""

from datetime import datetime
from typing import Any, Final

import msgspec
from bus.errors import RevisionConflictError, UnavailableError
from contracts.codes import Code
from contracts.commands import DecideApproval, ProvideInput, RunCommand
from contracts.run_state import RunState, Waiting
from contracts.subjects import run_subject
from contracts.times import parse_rfc3339, rfc3339

from gateway.domain.problems import Refusal, not_recorded, unconfirmed
from gateway.domain.records import Run
from gateway.handlers.fold_run import live_state
from gateway.ports import Conversation, LogReader, NotSentError
from gateway.thread_ports import CheckValue

TRIES: Final = 10
"""Other commands, such as a steer, may be stored between the look and the write; then look again."""

Answer = ProvideInput | DecideApproval

_commands: msgspec.json.Decoder[RunCommand] = msgspec.json.Decoder(RunCommand)


async def provide_input(
    conversation: Conversation,
    log: LogReader,
    user_id: str,
    run_id: str,
    *,
    wait_id: str,
    value: Any,
    check: CheckValue,
    now: datetime,
) -> str:
    """Give a run the input it waits for; returns the wait's id. An empty `wait_id` means whatever it waits for. Durable when
    this returns; the same again from the same user changes nothing. Raises Refusal: run_not_waiting, input_invalid,
    already_answered, unavailable, which says whether the answer may be recorded; repeating is safe."""
    run = await _commanded(conversation, user_id, run_id)

    def answer(waiting: Waiting) -> Answer:
        problem = check(waiting.schema, value)
        if problem:
            raise Refusal(Code.INPUT_INVALID, f"The input is not what the run waits for. {problem}")
        return ProvideInput(wait_id=waiting.wait_id, value=value, by=user_id, at=rfc3339(now))

    return await _first(log, run, wait_id, "input", answer, now)


async def decide_approval(
    conversation: Conversation,
    log: LogReader,
    user_id: str,
    run_id: str,
    *,
    wait_id: str,
    approved: bool,
    note: str,
    now: datetime,
) -> str:
    """Say whether a tool call may be carried out; otherwise as provide_input."""
    run = await _commanded(conversation, user_id, run_id)

    def answer(waiting: Waiting) -> Answer:
        return DecideApproval(
            wait_id=waiting.wait_id, approved=approved, by=user_id, at=rfc3339(now), note="" if approved else note
        )

    return await _first(log, run, wait_id, "approval", answer, now)


async def _commanded(conversation: Conversation, user_id: str, run_id: str) -> Run:
    run, message = await conversation.get_run(user_id, run_id, commanding=True)
    if message is not None:
        raise Refusal(Code.RUN_FINISHED, "The run has ended already; it waits for nothing.")
    return run


async def _first(log: LogReader, run: Run, wait_id: str, reason: str, answer: Any, now: datetime) -> str:
    subject = run_subject(run.thread_id, run.id, "command")
    for _ in range(TRIES):
        try:
            stored, last = await _stored_answers(log, subject)
            state = await live_state(log, run.thread_id, run.id)
        except UnavailableError as error:
            raise not_recorded("The answer") from error
        waiting = _wait(state, wait_id, reason, stored, now)
        made: Answer = answer(waiting)
        before = next((command for command in stored if command.wait_id == waiting.wait_id), None)
        if before is not None:
            if _says_the_same(before, made):
                return waiting.wait_id
            raise _answered()
        data = msgspec.json.encode(made)
        message_id = f"{run.id}:answer:{waiting.wait_id}"
        try:
            await log.append_command(run.thread_id, run.id, data, message_id=message_id, after=last)
        except RevisionConflictError:
            continue
        except NotSentError as error:
            raise not_recorded("The answer") from error
        except UnavailableError as error:
            raise unconfirmed("The answer") from error
        return waiting.wait_id
    raise Refusal(Code.UNAVAILABLE, "The run is being sent many commands just now; try again.")


async def _stored_answers(log: LogReader, subject: str) -> tuple[list[Answer], int]:
    """The answers among a run's commands, and the stream sequence of the last command; 0 where there is none."""
    stored: list[Answer] = []
    last = 0
    async for entry in log.read(subject):
        last = entry.stream_sequence
        command = _commands.decode(entry.data)
        if isinstance(command, ProvideInput | DecideApproval):
            stored.append(command)
    return stored, last


def _wait(state: RunState | None, wait_id: str, reason: str, stored: list[Answer], now: datetime) -> Waiting:
    """What the run waits for, if that is what is to be answered."""
    waiting = None if state is None else state.waiting
    if waiting is None or (wait_id and waiting.wait_id != wait_id):
        known = {command.wait_id for command in stored} | set(() if state is None else state.answers)
        if wait_id and wait_id in known:
            raise _answered()
        if state is not None and state.is_terminal:
            raise Refusal(Code.RUN_FINISHED, "The run has ended already; it waits for nothing.")
        raise Refusal(Code.RUN_NOT_WAITING, "The run does not wait for that.")
    if waiting.reason != reason:
        raise Refusal(Code.RUN_NOT_WAITING, f"The run does not wait for an {reason} but for: {waiting.reason}.")
    if waiting.expires_at is not None and now > parse_rfc3339(waiting.expires_at):
        raise Refusal(Code.RUN_NOT_WAITING, "The time for an answer is over.")
    return waiting


def _answered() -> Refusal:
    return Refusal(Code.ALREADY_ANSWERED, "Somebody has answered already; the first answer counts.")


def _says_the_same(one: Answer, other: Answer) -> bool:
    return type(one) is type(other) and msgspec.structs.replace(other, at=one.at) == one
