"""One model step: who is asked with what, the call, and what it asked for; another model where that one cannot be had."""

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from typing import Final

import structlog
from contracts import events as e
from contracts.codes import RunFailure
from contracts.commands import ExecuteRun
from contracts.parts import ToolCallPart
from contracts.registry import Model, cost_microusd
from contracts.usage import Usage

from inference.agents.domain.context import ContextTooLongError
from inference.domain.budget import call_key
from inference.domain.endings import REFUSED, Failed, failure_of
from inference.domain.estimate import tokens_of_text
from inference.domain.limits import Allowance, allowance_for, spent_by
from inference.domain.plan import CallModel, Interrupted, Lane, Prefix
from inference.domain.tool_calls import ToolRequest
from inference.domain.upstream_errors import UpstreamError, error_of_status
from inference.handlers.generate_answer import Answer, Generation, generate
from inference.handlers.journal import Journal, encoded_size
from inference.handlers.prepare_call import NameTakenError, Prepared, cite, prepare_call
from inference.handlers.work import Acting, Work
from inference.ports import Generated, ModelCall, Parts

logger = structlog.get_logger()

TRIES_BEFORE_FALLBACK: Final = 2
SECONDS_BEFORE_FALLBACK: Final = 2.0
NO_TOOLS_SENTENCE: Final = "The client brought tools, and the model cannot call any. Choose another model."
_OTHER_MODEL_MAY_HELP: Final = frozenset(
    {
        RunFailure.RATE_LIMITED,
        RunFailure.UPSTREAM_UNAVAILABLE,
        RunFailure.UPSTREAM_INCOMPLETE,
        RunFailure.UPSTREAM_REJECTED,
        RunFailure.CONTEXT_TOO_LONG,
    }
)


async def take_model_step(work: Work, plan: CallModel, lane: Lane, acting: Acting) -> Failed | None:
    """Carry out `plan`; how the run ends where it cannot go on."""
    return await _ModelStep(work, plan, lane, acting).take()


async def book_interrupted(parts: Parts, journal: Journal, command: ExecuteRun, found: Interrupted) -> None:
    """Put a call that an earlier attempt left behind into the ledger, estimated, and its budget right: what was set aside beyond
    that is given back, and where the call had ended just before its worker did, what it has cost is the estimate now."""
    usage = Usage(
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        reasoning_tokens=found.reasoning_tokens,
        estimated=True,
    )
    model = parts.registry.models.get(found.model)
    cost = cost_microusd(model, usage) if model is not None else None
    # Before it is booked: a call that is in the ledger is not found again by whoever takes over next.
    key = call_key(command.run_id, found.step, found.attempt, found.model)
    await parts.budgets.correct(command.user_id, key, cost or 0)
    journal.book(
        step=found.step, of_attempt=found.attempt, model=found.model, usage=usage, cost=cost, agent=found.agent
    )


class _ModelStep:
    def __init__(self, work: Work, plan: CallModel, lane: Lane, acting: Acting) -> None:
        self._work, self._plan, self._lane, self._acting = work, plan, lane, acting
        self._parts, self._journal = work.parts, work.journal
        self._step = plan.step if plan.step is not None else 0

    async def take(self) -> Failed | None:
        if self._plan.interrupted is not None:
            await book_interrupted(self._parts, self._journal, self._work.command, self._plan.interrupted)
        if self._plan.retract_from is not None:
            self._journal.put(e.TextRetracted, from_sequence=self._plan.retract_from, agent=self._acting.tag)
        models = self._models()
        if models and self._work.input.brought is not None:
            models = [model for model in models if model.tools]
            if not models:
                return Failed(RunFailure.TOOLS_UNSUPPORTED, NO_TOOLS_SENTENCE)
        if not models:
            name = self._acting.config.model or self._work.command.model
            return Failed(RunFailure.MODEL_UNKNOWN, f"The model {name} is not offered any more.")
        failed: Failed | None = None
        for place, model in enumerate(models):
            is_last = place == len(models) - 1
            prefix = self._plan.prefix if model.id == self._plan.model else None
            if prefix is None and self._plan.prefix is not None:
                await self._retract()
            try:
                return await self._call(model, is_last=is_last, has_prefix=prefix is not None)
            except UpstreamError as error:
                failed = Failed(error.code, error.sentence)
                if error.code not in _OTHER_MODEL_MAY_HELP or self._has_shown:
                    break
                if not is_last:
                    logger.warning(
                        "model.fallback",
                        run_id=self._work.command.run_id,
                        model=model.id,
                        instead=models[place + 1].id,
                        code=error.code.value,
                    )
        return failed

    def _models(self) -> list[Model]:
        """Those that can be asked, in order: after an interruption first the one that had begun."""
        config = self._acting.config
        names = [self._plan.model, config.model or self._work.command.model, *config.fallbacks]
        found = (self._parts.registry.find(name) for name in dict.fromkeys(names) if name)
        return [model for model in found if model is not None]

    @property
    def _has_shown(self) -> bool:
        generation = self._work.generations.get(self._step)
        return generation is not None and generation.answer.has_shown

    async def _call(self, model: Model, *, is_last: bool, has_prefix: bool) -> Failed | None:
        try:
            prepared = await prepare_call(self._work, self._lane, self._acting, model, step=self._plan.step)
        except ContextTooLongError as error:
            raise error_of_status(413, said="context length", kind=str(error), model=model.id) from error
        except NameTakenError as error:
            return Failed(
                RunFailure.TOOL_NAME_TAKEN,
                f"The agent has a tool {error.name!r} of its own. Give yours another name and send the request again.",
            )
        try:
            return await self._generate(model, prepared, is_last=is_last, has_prefix=has_prefix)
        except UpstreamError as error:
            refused_prefix = error.code is RunFailure.UPSTREAM_REJECTED and has_prefix
            if not refused_prefix or self._has_shown:
                raise
        # The provider does not go on from a prefix after all: take the text back and ask for all of it.
        await self._retract()
        return await self._generate(model, prepared, is_last=is_last, has_prefix=False)

    async def _retract(self) -> None:
        await self._journal.stored()
        step = self._journal.state.open_steps.get(self._step)
        if step is not None:
            self._journal.put(e.TextRetracted, from_sequence=step.sequence, agent=self._acting.tag)

    async def _generate(self, model: Model, prepared: Prepared, *, is_last: bool, has_prefix: bool) -> Failed | None:
        prefix = self._plan.prefix if has_prefix else None
        input_tokens = prepared.decision.input_tokens + (tokens_of_text(prefix.text) if prefix is not None else 0)
        await self._journal.stored()
        if not self._step:
            self._step = self._journal.new_step()
        key = call_key(self._work.command.run_id, self._step, self._work.attempt, model.id)
        spent = 0
        try:
            allowance = await self._reserve(model, key, input_tokens)
            if allowance.output_tokens < 1:
                return allowance.failed
            await self._begin(model, prepared)
            generation = self._new_generation(model, prepared, prefix, allowance, input_tokens)
            try:
                result = await self._listen(generation, is_last=is_last)
            finally:
                spent = (generation.cost or 0) if generation.is_billed else 0
        finally:
            # Also of a call that was not made: what stays set aside counts as spent in the end.
            await self._settle(key, spent)
        is_capped = generation.call.max_output_tokens != model.max_output_tokens
        capped = allowance.failed if is_capped and result.finish_reason == "length" else None
        return await self._end(generation, result, prepared, capped)

    def _new_generation(
        self, model: Model, prepared: Prepared, prefix: Prefix | None, allowance: Allowance, input_tokens: int
    ) -> Generation:
        # Where a provider is known to take a limit it stops by itself, so that its own bill ends there, too.
        largest = model.max_output_tokens
        is_capped = largest is not None and allowance.output_tokens < largest
        call = ModelCall(
            model=model,
            messages=prepared.messages,
            prefix=prefix.text if prefix is not None else "",
            tools=prepared.tools,
            brought=prepared.brought,
            max_output_tokens=allowance.output_tokens if is_capped else largest,
        )
        answer = Answer(
            self._journal, part=prefix.part if prefix is not None else None, agent=self._acting.tag, allowance=allowance
        )
        generation = Generation(call, answer, input_tokens=input_tokens)
        self._work.generations[self._step] = generation
        return generation

    async def _listen(self, generation: Generation, *, is_last: bool) -> Generated:
        policy = self._parts.retry
        if not is_last:
            policy = replace(policy, tries=TRIES_BEFORE_FALLBACK, budget=min(policy.budget, SECONDS_BEFORE_FALLBACK))
        return await generate(
            self._parts.models, generation, policy=policy, clock=self._parts.clock, run_id=self._work.command.run_id
        )

    async def _reserve(self, model: Model, key: str, input_tokens: int) -> Allowance:
        estimate = cost_microusd(model, Usage(input_tokens=input_tokens))
        budget = None
        if estimate is None:
            logger.warning("model.price_unknown", run_id=self._work.command.run_id, model=model.id)
        else:
            budget = await self._parts.budgets.reserve(self._work.command.user_id, key, estimate)
        return allowance_for(
            model,
            input_tokens=input_tokens,
            spent=spent_by(self._journal.state, self._acting.tag),
            limits=self._acting.config.limits,
            budget_microusd=budget,
        )

    async def _settle(self, key: str, spent: int) -> None:
        """To its end also where the run is stopped just now, as a stop often meets the end of a call: nobody else would give
        back what was set aside."""
        settling = asyncio.ensure_future(self._parts.budgets.settle(self._work.command.user_id, key, spent))
        try:
            await asyncio.shield(settling)
        except asyncio.CancelledError:
            await settling
            raise

    async def _begin(self, model: Model, prepared: Prepared) -> None:
        tag = self._acting.tag
        self._journal.put(
            e.StepStarted,
            step=self._step,
            kind="model",
            name=model.id,
            context=prepared.decision.as_data(),
            agent=tag,
        )
        for passage, quote in prepared.found:
            cite(self._work, passage, quote, tag)
        # The call must not begin before the log says so: a takeover books what a call that it knows of has cost.
        await self._journal.stored()
        if self._work.is_first:
            self._work.is_first = False
            self._journal.checkpoint()

    async def _end(
        self, generation: Generation, result: Generated, prepared: Prepared, capped: Failed | None
    ) -> Failed | None:
        """The call has come to its end: what it asked for, its bill, the end of its step, in this order. Calls of tools are
        stored with all of it or not at all; without any, whoever takes over finds out from the bill that only the end is left
        to write, and does not make the call again. `capped`: how the run ends where the provider stopped at what was
        allowed."""
        failed = (
            generation.answer.stopped_by
            or capped
            or failure_of(
                finish_reason=result.finish_reason,
                refusal=result.refusal,
                asked_for_tools=bool(result.tool_requests) and not prepared.offers_tools,
            )
        )
        requests = result.tool_requests if failed is None else []
        await self._journal.stored()
        used = {
            part.value.tool_call_id
            for part in self._journal.state.parts.values()
            if isinstance(part.value, ToolCallPart)
        }
        used |= {
            part.tool_call_id
            for message in self._work.input.messages
            for part in message.parts
            if isinstance(part, ToolCallPart)
        }
        finish_reason: str | None = "tool_calls" if requests else result.finish_reason
        if failed is not None:
            # A refusal is an answer like any other: who takes over need not hear it again.
            finish_reason = REFUSED if failed.code is RunFailure.REFUSED else None
        with self._journal.together() if requests else nullcontext():
            for request in requests:
                self._ask(request, used)
            self._journal.book(
                step=self._step,
                of_attempt=self._work.attempt,
                model=generation.call.model.id,
                usage=generation.usage,
                cost=generation.cost,
                agent=self._acting.tag,
                finish_reason=finish_reason,
            )
            if failed is None:
                self._journal.put(e.StepFinished, step=self._step, finish_reason=finish_reason, agent=self._acting.tag)
        await self._journal.stored()
        return failed

    def _ask(self, request: ToolRequest, used: set[str]) -> None:
        part = self._journal.new_part()
        # Providers count calls anew in every answer, and some give them no id at all.
        call_id = request.tool_call_id if request.tool_call_id not in used else f"{request.tool_call_id}_{part}"
        used.add(call_id)
        self._journal.take_room(encoded_size(request.input))
        self._journal.put(
            e.ToolCall,
            part=part,
            tool_call_id=call_id,
            name=request.name,
            input=request.input,
            state="pending",
            agent=self._acting.tag,
        )
