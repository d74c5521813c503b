"""The loop of a run: plan, take the step, plan again, until the model has had the last word or something ends it."""

import asyncio

from contracts import events as e
from contracts.codes import RunFailure
from contracts.commands import SteerRun
from contracts.registry import Continuation

from inference.agents.domain.config import Panel
from inference.domain.endings import Failed
from inference.domain.hand_overs import last_hand_over
from inference.domain.limits import limit_reached, seconds_left, spent_by
from inference.domain.plan import DEADLINE_SENTENCE, Answered, CallModel, CallTools, EndStep, Lane, Plan, plan_next
from inference.domain.waits import Wait
from inference.handlers.journal import encoded_size
from inference.handlers.take_model_step import take_model_step
from inference.handlers.take_tool_steps import take_tool_steps
from inference.handlers.work import Acting, Work


async def work_lane(work: Work, lane: Lane, steers: list[SteerRun]) -> Failed | Wait | None:
    """Take steps until the lane is answered (None), fails or has to wait. `steers` grows as the user speaks; what is new in
    it joins before the next step."""
    while True:
        await work.journal.stored()
        plan = next_step(work, lane)
        if not (isinstance(plan, Answered) and plan.left_to_client):
            # What the user says after the client was asked is answered by a run of its own: here nothing can follow.
            await _join(work, steers)
            plan = next_step(work, lane)
        if isinstance(plan, Answered):
            return plan.failed
        if isinstance(plan, EndStep):
            _end_step(work, plan)
            continue
        acting = acting_in(work, lane)
        if isinstance(acting, Failed):
            return acting
        stopped = _limit(work, acting, plan) or await _take_in_time(work, plan, lane, acting)
        if stopped is not None:
            return stopped


async def work_panel(work: Work, panel: Panel, steers: list[SteerRun]) -> Failed | Wait | None:
    """Let every member answer: one after the other, or at once. Of several at once, the others are let finish where one fails
    or has to wait."""
    if not panel.at_once:
        for member in panel.members:
            lane = Lane(member, hears=True, reopens=member == panel.members[-1])
            stopped = await work_lane(work, lane, steers)
            if stopped is not None:
                return stopped
        return None
    lanes = [Lane(member) for member in panel.members]
    while True:
        stopped_by = await _at_once(work, lanes, steers)
        if stopped_by:
            return next((stopped for stopped in stopped_by if isinstance(stopped, Failed)), stopped_by[0])
        if all(isinstance(next_step(work, lane), Answered) for lane in lanes):
            return None


async def _at_once(work: Work, lanes: list[Lane], steers: list[SteerRun]) -> list[Failed | Wait]:
    tasks = [asyncio.create_task(work_lane(work, lane, steers)) for lane in lanes]
    try:
        ends = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [end for end in ends if end is not None]


def next_step(work: Work, lane: Lane) -> Plan:
    """What comes next, as the log says."""

    def continuation(model_id: str) -> Continuation:
        model = work.parts.registry.find(model_id)
        return model.continuation if model is not None else "retract"

    left_to_client = work.input.left_to_client
    return plan_next(work.journal.state, lane, continuation=continuation, left_to_client=left_to_client)


def acting_in(work: Work, lane: Lane) -> Acting | Failed:
    """The agent whose turn it is."""
    handed = last_hand_over(work.journal.state) if lane.member is None else None
    name = lane.member or (handed[1] if handed is not None else work.agent)
    config = work.parts.agents.find(name)
    if config is None:
        return Failed(RunFailure.AGENT_UNKNOWN, f"There is no agent {name[:40]!r} any more. Choose another one.")
    return Acting(config, name or None)


async def _take_in_time(work: Work, plan: CallModel | CallTools, lane: Lane, acting: Acting) -> Failed | Wait | None:
    """The agent that the run began with has its time for the whole run; one that acts later has its own besides."""
    left = seconds_left(work.journal.state, acting.tag, acting.config.limits, work.parts.clock.now())
    try:
        async with asyncio.timeout(left) as scope:
            return await _take(work, plan, lane, acting)
    except TimeoutError:
        if not scope.expired():
            raise
        return Failed(RunFailure.DEADLINE, DEADLINE_SENTENCE)


async def _take(work: Work, plan: CallModel | CallTools, lane: Lane, acting: Acting) -> Failed | Wait | None:
    if isinstance(plan, CallModel):
        return await take_model_step(work, plan, lane, acting)
    return await take_tool_steps(work, plan.calls, lane, acting)


def _limit(work: Work, acting: Acting, plan: CallModel | CallTools) -> Failed | None:
    if isinstance(plan, CallModel):
        more = 1 if plan.step is None else 0
    else:
        more = sum(call.step is None for call in plan.calls)
    if not more:
        return None
    return limit_reached(spent_by(work.journal.state, acting.tag), acting.config.limits, more_steps=more)


def _end_step(work: Work, plan: EndStep) -> None:
    step = work.journal.state.open_steps[plan.step]
    work.journal.put(e.StepFinished, step=plan.step, finish_reason=plan.finish_reason, agent=step.agent)


async def _join(work: Work, steers: list[SteerRun]) -> None:
    """Let what the user has said since join the answer. Steers are counted: the log has as many as have joined."""
    new, work.joined = steers[work.joined :], max(work.joined, len(steers))
    for steer in new:
        work.journal.take_room(encoded_size(steer.text))
        work.journal.put(e.RunSteered, text=steer.text, by=steer.by, message_id=steer.message_id)
    await work.journal.stored()
