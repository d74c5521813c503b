"""What a model is sent: the agent's prompt, passages of the user's documents, the history and the turn, fitted to its window, and
the tools that it may call."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from contracts import events as e
from contracts.client_tools import ClientTools
from contracts.parts import ToolCallPart
from contracts.registry import Model

from inference.agents.domain.config import AgentConfig
from inference.agents.domain.context import Decision, Fitted, Offer, fit
from inference.domain.estimate import tokens_of_text
from inference.domain.plan import Lane
from inference.domain.turn import history_of, question_of, result_text, system_of, turn_of
from inference.handlers.journal import encoded_size
from inference.handlers.work import Acting, Work
from inference.ports import InputMessage
from inference.retrieval.domain.corpora import corpora_for
from inference.retrieval.domain.quotes import as_material, quote_of
from inference.retrieval.domain.ranking import Passage
from inference.retrieval.ports import CorpusUnavailableError
from inference.tools.domain.choice import Situation
from inference.tools.domain.spec import ToolSpec, client_tool, openai_tool
from inference.tools.toolbox import Offered

logger = structlog.get_logger()

RESERVED_SHARE: Final = 4
"""Where a model has no largest answer, a quarter of its window is left free for one."""
MOST_RESERVED: Final = 16_384


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call as it will be made with one model. `found` are the passages that are in it, with their quotes."""

    messages: list[InputMessage]
    tools: Sequence[ToolSpec]
    decision: Decision
    found: Sequence[tuple[Passage, str]]
    brought: ClientTools | None = None

    @property
    def offers_tools(self) -> bool:
        """The model may call something."""
        return bool(self.tools) or self.brought is not None


class NameTakenError(Exception):
    """The client brought a tool with the name of one that the agent has."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


async def prepare_call(work: Work, lane: Lane, acting: Acting, model: Model, *, step: int | None) -> Prepared:
    """Gather and fit what `model` is sent for `step` (None: a new one). Raises ContextTooLongError, NameTakenError."""
    await work.journal.stored()
    messages = work.input.messages
    question = question_of(messages)
    turn = turn_of(work.journal.state, lane, question, without_step=step)
    asked = next((entry.text for entry in reversed(turn) if entry.role == "user"), "")
    offered, passages = await asyncio.gather(
        offer_tools(work, lane, acting, model_has_tools=model.tools), _passages(work, acting, asked)
    )
    brought = work.input.brought
    specs = _beside(offered.specs, brought)
    prompt = acting.config.prompt({"date": work.parts.clock.now().date().isoformat()})
    fitted = fit(
        Offer(
            system="\n\n".join(text for text in (prompt, system_of(messages)) if text),
            turn=turn,
            history=history_of(messages),
            passages=as_material(passages),
            tools="\n".join(
                _json(tool)
                for tool in (
                    *map(openai_tool, specs),
                    *(map(client_tool, brought.tools) if brought is not None else ()),
                )
            ),
        ),
        window=model.context_window,
        reserved=_reserved(model),
        count=tokens_of_text,
    )
    kept = passages[: fitted.decision.passages_kept]
    return Prepared(
        messages=_messages(fitted),
        tools=specs,
        decision=fitted.decision,
        found=[(passage, quote_of(passage.text, asked)) for passage in kept],
        brought=brought,
    )


def _beside(specs: list[ToolSpec], brought: ClientTools | None) -> list[ToolSpec]:
    """The agent's tools that are offered beside the client's. What a client demands of the model it demands for its own."""
    if brought is None:
        return specs
    taken = next((spec.name for spec in specs if spec.name in brought.names), None)
    if taken is not None:
        raise NameTakenError(taken)
    return specs if brought.choice == "auto" else []


async def _passages(work: Work, acting: Acting, asked: str) -> list[Passage]:
    retrieval = acting.config.retrieval
    if not retrieval.enabled:
        return []
    try:
        corpora = corpora_for(work.command.user_id, retrieval.corpora)
        return await work.parts.passages.passages(corpora, asked, limit=retrieval.top_k)
    except CorpusUnavailableError as error:
        logger.warning("passages.unavailable", run_id=work.command.run_id, error=str(error))
        return []


async def offer_tools(work: Work, lane: Lane, acting: Acting, *, model_has_tools: bool) -> Offered:
    """The tools of the agent's next step."""
    state = work.journal.state
    texts = [entry.text for entry in question_of(work.input.messages)]
    texts += [steer.text for steer in state.steers]
    texts += [
        result_text(part.value)
        for part in state.parts.values()
        if isinstance(part.value, ToolCallPart) and part.value.state == "completed" and lane.has(part.agent)
    ]
    situation = Situation(
        model_has_tools=model_has_tools,
        roles=work.input.roles,
        has_documents=model_has_tools and await _has_documents(work, acting.config),
        texts=texts,
    )

    def found(passage: Passage, quote: str) -> None:
        cite(work, passage, quote, acting.tag)

    # A panel goes on with all its members; none of them can give the whole run away.
    config = acting.config if lane.member is None else replace(acting.config, hand_off=())
    return await work.parts.tools.offer(config, situation, found)


async def _has_documents(work: Work, config: AgentConfig) -> bool:
    try:
        return await work.parts.passages.has_documents(corpora_for(work.command.user_id, config.retrieval.corpora))
    except CorpusUnavailableError:
        return False


def cite(work: Work, passage: Passage, quote: str, tag: str | None) -> None:
    """Write a source part, once for each passage."""
    if passage.source_id in work.cited:
        return
    journal = work.journal
    work.cited.add(passage.source_id)
    journal.take_room(encoded_size((passage.source_id, passage.title, passage.url, quote)))
    journal.put(
        e.Source,
        part=journal.new_part(),
        source_id=passage.source_id,
        title=passage.title,
        url=passage.url,
        quote=quote,
        agent=tag,
    )


def _reserved(model: Model) -> int:
    share = model.context_window // RESERVED_SHARE
    return min(share, MOST_RESERVED if model.max_output_tokens is None else model.max_output_tokens)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _messages(fitted: Fitted) -> list[InputMessage]:
    system = "\n\n".join((fitted.system, *fitted.passages)).strip()
    said = [InputMessage(entry.role, entry.text, entry.calls, entry.tool_call_id) for entry in fitted.entries]
    return [InputMessage("system", system), *said] if system else said
