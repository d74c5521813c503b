"""The queue of a thread's runs: each held run stands behind another and is begun in the transaction that ends that one.

The runs are linked: `behind` and `next_run`; the thread's `last_run` is the queue's end. Every change writes the runs that it
relies on, so that of two transactions which contradict each other one begins again.
"""

from dataclasses import replace
from datetime import datetime

from contracts.ids import FACT
from contracts.run_state import RunState

from conversation.domain.acceptance import NewMessage, Place, execute_command, plan_acceptance
from conversation.domain.entities import DURABLE, OPEN, Message, Run, Thread
from conversation.domain.facts import message_accepted
from conversation.domain.queueing import begun, is_open, steer_command
from conversation.ports import Parts, Writes


async def runs_ahead(writes: Writes, thread: Thread, last: Run | None = None) -> list[Run]:
    """The thread's runs that have not ended, the newest first; the last one goes on, the others queue behind it. `last` is the
    thread's last run where that was read already."""
    found: list[Run] = []
    run_id = thread.last_run
    while run_id:
        run = last if last is not None and last.id == run_id else await writes.run(run_id)
        if run is None or run.status not in OPEN:
            break
        found.append(run)
        run_id = run.behind if run.held == "queue" else ""
    return found


async def begin(parts: Parts, writes: Writes, run: Run, now: datetime) -> None:
    """Let a held run begin."""
    started = begun(run, now, parts.timing)
    await writes.change_run(
        run.id, {"held": "", "behind": "", "deadline_at": started.deadline_at, "check_at": started.check_at}
    )
    writes.say(execute_command(started))


async def join(parts: Parts, writes: Writes, thread: Thread, message: NewMessage, run: Run) -> Message:
    """Store a message that joins a run which goes on, and tell the run."""
    now = parts.now()
    steer = Message(
        id=parts.new_id("msg"),
        thread_id=thread.id,
        user_id=message.user_id,
        position=thread.length + 1,
        role="user",
        status="complete",
        created_at=now,
        content=message.content,
        run_id=run.id,
        parent_message_id=message.parent_message_id or thread.head,
        service=message.service,
    )
    changed = replace(thread, updated_at=now, length=steer.position, head=steer.id)
    await writes.change_thread(changed, {"length": changed.length, "head": changed.head})
    await writes.add_message(steer)
    await writes.add_steer(run.id, steer.id)
    writes.say(steer_command(run, steer, now))
    told = replace(run, question_id=steer.id, user_id=message.user_id, created_at=now)
    writes.say(message_accepted(told, parts.new_id(FACT)))
    return steer


async def go_on(parts: Parts, writes: Writes, ended: Run, state: RunState) -> None:
    """What follows from a run's end: an answer to what was sent to join it and came too late, else the next one in the queue."""
    applied = {steer.message_id for steer in state.steers}
    late = [message_id for message_id in ended.steers if message_id not in applied]
    if late and state.status != "cancelled" and await _answer_late(parts, writes, ended, late[-1]):
        return
    if ended.held == "queue":
        await _leave_queue(writes, ended)
        return
    following = await writes.run(ended.next_run) if ended.next_run else None
    while following is not None and following.status not in OPEN:
        following = await writes.run(following.next_run) if following.next_run else None
    if following is not None and following.held == "queue":
        await begin(parts, writes, following, parts.now())


async def _answer_late(parts: Parts, writes: Writes, ended: Run, message_id: str) -> bool:
    """Answer the message by a run of its own, which takes the ended one's place in the queue."""
    question = await writes.message(ended.thread_id, message_id)
    thread = await writes.any_thread(ended.thread_id)
    if question is None or thread is None:
        return False
    message = NewMessage(
        user_id=question.user_id,
        thread_id=thread.id,
        content=question.content,
        path=DURABLE,
        agent=ended.agent,
        roles=ended.roles,
    )
    acceptance = plan_acceptance(
        message,
        thread,
        ended.model,
        now=parts.now(),
        timing=parts.timing,
        new_id=parts.new_id,
        place=Place(question=question),
    )
    planned = acceptance.thread
    kept = replace(
        planned,
        head=planned.head if thread.head == question.id else thread.head,
        last_run=planned.last_run if thread.last_run == ended.id else thread.last_run,
    )
    await writes.accept(replace(acceptance, thread=kept), "")
    for outgoing in acceptance.outgoing:
        writes.say(outgoing)
    if ended.next_run:
        await writes.change_run(acceptance.run.id, {"next_run": ended.next_run})
        await writes.change_run(ended.next_run, {"behind": acceptance.run.id})
    return True


async def _leave_queue(writes: Writes, ended: Run) -> None:
    """A run that ended before it began: what stands behind it stands behind the one before it from now on."""
    before = await writes.run(ended.behind)
    if not is_open(before):
        return
    await writes.change_run(ended.behind, {"next_run": ended.next_run})
    if ended.next_run:
        await writes.change_run(ended.next_run, {"behind": ended.behind})
        return
    thread = await writes.any_thread(ended.thread_id)
    if thread is not None and thread.last_run == ended.id:
        await writes.change_thread(thread, {"last_run": ended.behind})
