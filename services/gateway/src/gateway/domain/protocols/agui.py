"""AG-UI 1.0: the run as the protocol's events, accepted by its client's `verifyEvents`.

- Retraction, and a viewer who comes back after a cut: `MESSAGES_SNAPSHOT`, which replaces the whole conversation, so the
  messages before the run are an argument. A reasoning message can only be emptied by it, not removed.
- Waiting for a person ends the AG-UI run with an `interrupt` outcome, as the protocol has it; the answer comes with a new
  AG-UI run, whose events are the next **segment** of the same Everthread run. A timer ends nothing.
- Several agents: every agent named in the log is a subagent of that name; its openers carry `subagentRunId`, continuations
  do not need to.
- What the protocol has no event for goes out as `CUSTOM`: `source`, `tool.progress`, `attempt.started`, `run.waiting`.
"""

from typing import Any

from contracts import events as e
from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.run_state import RunState, Waiting
from contracts.usage import Usage

from gateway.domain.protocols.agui_messages import Placement, part_id, result_id, run_messages, tool_content
from gateway.domain.protocols.frame import Frame, frame
from gateway.domain.protocols.json_text import json_text
from gateway.domain.protocols.retraction import is_retracted
from gateway.domain.protocols.terminal import terminal_event
from gateway.domain.protocols.waits import asked_calls


def waits_for_person(reason: str) -> bool:
    """A timer goes on by itself; everything else needs an answer."""
    return reason != "timer"


class _Part:
    __slots__ = ("agent", "opened_at", "texts", "value")

    def __init__(self, value: Part, opened_at: int, agent: str | None) -> None:
        self.value, self.opened_at, self.agent = value, opened_at, agent
        self.texts: list[str] = []

    def now(self) -> Part:
        """The part with its text so far."""
        match self.value:
            case TextPart():
                return TextPart(text="".join(self.texts))
            case ReasoningPart():
                return ReasoningPart(text="".join(self.texts))
            case other:
                return other


class AguiMapping:
    """One run's events. `thread_id` and `run_id` are the client's; `history` are the AG-UI messages before the answer."""

    def __init__(self, *, thread_id: str, run_id: str, history: list[dict[str, Any]]) -> None:
        self.segment = 0
        self._thread_id, self._run_id, self._history = thread_id, run_id, history
        self._opened = False
        self._message_id = ""
        self._model = ""
        self._attempt = 1
        self._parts: dict[int, _Part] = {}
        self._open: dict[int, str] = {}
        self._calls: dict[str, ToolCallPart] = {}
        self._steps: dict[int, str] = {}
        self._step_agents: dict[int, str | None] = {}
        self._agents: list[str] = []
        self._placement = Placement("")
        self._emptied: list[str] = []
        self.answered_in: dict[str, int] = {}
        """Interrupts so far, and the segment that follows the answer to each."""

    @property
    def ended(self) -> bool:
        """The AG-UI run has ended; the next event with frames opens the next segment."""
        return not self._opened

    def opening(self) -> list[Frame]:
        """Nothing stands before the log."""
        return []

    def feed(self, event: e.RunEvent) -> list[Frame]:
        """The protocol events of the next event of the log."""
        if isinstance(event, e.TextDelta) and event.part in self._open:
            self._parts[event.part].texts.append(event.delta)
            identity = part_id(self._message_id, event.part)
            return [frame({"type": "TEXT_MESSAGE_CONTENT", "messageId": identity, "delta": event.delta})]
        return [frame(payload) for payload in self._events(event)]

    def prelude(self, state: RunState) -> list[Frame]:
        """For a viewer who comes after a cut: the conversation as it is now, open items opened again, so that what `feed` says
        next goes on behind it. `state` is the fold of what was fed."""
        events = [self._started(state.run_id, state.thread_id)]
        agents = self._agents
        if self.ended:
            agents = list(dict.fromkeys(part.agent for part in self._parts.values() if part.agent is not None))
        events += [_entered(agent) for agent in agents]
        events.append(self._snapshot())
        events += [_source(part.value) for part in self._parts.values() if isinstance(part.value, SourcePart)]
        events += [{"type": "STEP_STARTED", "stepName": name} for name in self._steps.values()]
        for number in self._open:
            events += self._openers(number, self._parts[number])
        if self.ended:
            events += [_left(agent, "suspended" if state.waiting is not None else "success") for agent in agents]
        if state.waiting is not None:
            events += self._waiting(state.waiting)
        end = terminal_event(state)
        if end is not None:
            events += self._terminal(end)
        return [frame(payload) for payload in events]

    def _events(self, event: e.RunEvent) -> list[dict[str, Any]]:
        match event:
            case e.RunStarted():
                self._message_id, self._model = event.message_id, event.model
                self._placement = Placement(event.message_id)
                return self._start(event.run_id, event.thread_id) if not self._opened else []
            case e.AttemptStarted():
                return self._attempt_started(event)
            case e.UsageReported():
                return []
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                self._message_id = self._message_id or event.message_id
        opened = [] if self._opened else self._start(event.run_id, event.thread_id)
        if event.agent is not None:
            opened += self._enter(event.agent)
        return opened + self._body(event)

    def _body(self, event: e.RunEvent) -> list[dict[str, Any]]:
        match event:
            case e.TextDelta() | e.ReasoningDelta():
                return self._delta(event)
            case e.StepStarted():
                return self._step_started(event)
            case e.StepFinished():
                return self._close_parts_of(event.agent) + self._step_finished(event.step)
            case e.TextRetracted():
                return self._retract(event)
            case e.ToolCall():
                return self._tool_call(event)
            case e.ToolProgress() | e.ToolResult():
                return self._tool(event)
            case e.Source():
                source = SourcePart(source_id=event.source_id, title=event.title, url=event.url, quote=event.quote)
                self._parts[event.part] = _Part(source, event.sequence, event.agent)
                return [_source(source)]
            case e.RunWaiting():
                return self._wait(event)
            case e.RunResumed():
                return [_custom("run.resumed", {"reason": event.reason})]
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                return self._end(event)
            case _:
                return []

    def _start(self, run_id: str, thread_id: str) -> list[dict[str, Any]]:
        self._opened = True
        self._agents = []
        return [self._started(run_id, thread_id)]

    def _started(self, run_id: str, thread_id: str) -> dict[str, Any]:
        about = {"run_id": run_id, "thread_id": thread_id, "model": self._model}
        started = {"type": "RUN_STARTED", "threadId": self._thread_id, "runId": self._run_id}
        return started | {"metadata": {"everthread": about}}

    def _enter(self, agent: str) -> list[dict[str, Any]]:
        if agent in self._agents:
            return []
        self._agents.append(agent)
        return [_entered(agent)]

    def _attempt_started(self, event: e.AttemptStarted) -> list[dict[str, Any]]:
        if event.attempt <= self._attempt or not self._opened:
            return []
        self._attempt = event.attempt
        return [_custom("attempt.started", {"attempt": event.attempt})]

    # Steps

    def _step_started(self, event: e.StepStarted) -> list[dict[str, Any]]:
        # A takeover starts the interrupted step again: for the client it goes on.
        if event.step in self._steps:
            return []
        mine = [step for step in self._steps if self._step_agents[step] == event.agent]
        finished = [payload for step in mine for payload in self._step_finished(step)]
        self._steps[event.step] = f"{event.kind} {event.step}"
        self._step_agents[event.step] = event.agent
        return [*finished, {"type": "STEP_STARTED", "stepName": self._steps[event.step]}]

    def _step_finished(self, step: int) -> list[dict[str, Any]]:
        name = self._steps.pop(step, None)
        return [] if name is None else [{"type": "STEP_FINISHED", "stepName": name}]

    # Text and reasoning

    def _delta(self, event: e.TextDelta | e.ReasoningDelta) -> list[dict[str, Any]]:
        is_text = isinstance(event, e.TextDelta)
        events: list[dict[str, Any]] = []
        if event.part not in self._open:
            events += self._close_parts_of(event.agent, "reasoning")
            part = self._parts.get(event.part)
            if part is None or not isinstance(part.value, TextPart | ReasoningPart):
                # Also where a source or a tool had the number: a stored answer's parts are numbered anew.
                value: Part = TextPart(text="") if is_text else ReasoningPart(text="")
                part = self._parts[event.part] = _Part(value, event.sequence, event.agent)
                self._placement.place(event.part, value, event.agent)
            events += self._open_part(event.part, part)
        self._parts[event.part].texts.append(event.delta)
        kind = "TEXT_MESSAGE_CONTENT" if is_text else "REASONING_MESSAGE_CONTENT"
        identity = part_id(self._message_id, event.part)
        return [*events, {"type": kind, "messageId": identity, "delta": event.delta}]

    def _open_part(self, number: int, part: _Part) -> list[dict[str, Any]]:
        self._open[number] = "text" if isinstance(part.value, TextPart) else "reasoning"
        return self._openers(number, part)

    def _openers(self, number: int, part: _Part) -> list[dict[str, Any]]:
        head: dict[str, Any] = {"messageId": part_id(self._message_id, number)}
        if part.agent is not None:
            head["subagentRunId"] = part.agent
        if isinstance(part.value, TextPart):
            return [{"type": "TEXT_MESSAGE_START", "role": "assistant"} | head]
        return [
            {"type": "REASONING_START"} | head,
            {"type": "REASONING_MESSAGE_START", "role": "reasoning"} | head,
        ]

    def _close_parts_of(self, agent: str | None, only: str = "") -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for number, kind in list(self._open.items()):
            if self._parts[number].agent == agent and only in ("", kind):
                events += self._close_part(number)
        return events

    def _close_part(self, number: int) -> list[dict[str, Any]]:
        identity = part_id(self._message_id, number)
        if self._open.pop(number) == "text":
            return [{"type": "TEXT_MESSAGE_END", "messageId": identity}]
        return [
            {"type": "REASONING_MESSAGE_END", "messageId": identity},
            {"type": "REASONING_END", "messageId": identity},
        ]

    # Retraction

    def _retract(self, event: e.TextRetracted) -> list[dict[str, Any]]:
        gone = [
            number
            for number, part in self._parts.items()
            if isinstance(part.value, TextPart | ReasoningPart) and is_retracted(event, part.opened_at, part.agent)
        ]
        if not gone:
            return []
        events: list[dict[str, Any]] = []
        for number in gone:
            if number in self._open:
                events += self._close_part(number)
            if isinstance(self._parts.pop(number).value, ReasoningPart):
                self._emptied.append(part_id(self._message_id, number))
        self._placement = Placement(self._message_id)
        for number in sorted(self._parts):
            self._placement.place(number, self._parts[number].value, self._parts[number].agent)
        return [*events, self._snapshot()]

    def _snapshot(self) -> dict[str, Any]:
        parts = [(number, part.now(), part.agent) for number, part in sorted(self._parts.items())]
        emptied = [{"id": identity, "role": "reasoning", "content": ""} for identity in self._emptied]
        messages = [*self._history, *run_messages(self._message_id, parts), *emptied]
        return {"type": "MESSAGES_SNAPSHOT", "messages": messages}

    # Tools

    def _tool_call(self, event: e.ToolCall) -> list[dict[str, Any]]:
        call = ToolCallPart(tool_call_id=event.tool_call_id, name=event.name, state=event.state, input=event.input)
        self._parts[event.part] = _Part(call, event.sequence, event.agent)
        self._calls[event.tool_call_id] = call
        parent = self._placement.place(event.part, call, event.agent)
        start: dict[str, Any] = {
            "type": "TOOL_CALL_START",
            "toolCallId": event.tool_call_id,
            "toolCallName": event.name,
            "parentMessageId": parent,
        }
        if event.agent is not None:
            start["subagentRunId"] = event.agent
        return [
            *self._close_parts_of(event.agent, "reasoning"),
            start,
            {"type": "TOOL_CALL_ARGS", "toolCallId": event.tool_call_id, "delta": json_text(event.input)},
            {"type": "TOOL_CALL_END", "toolCallId": event.tool_call_id},
        ]

    def _tool(self, event: e.ToolProgress | e.ToolResult) -> list[dict[str, Any]]:
        call = self._calls.get(event.tool_call_id)
        if call is None:
            return []
        call.state = event.state
        if isinstance(event, e.ToolProgress):
            value = {"tool_call_id": event.tool_call_id, "name": event.name, "progress": event.progress}
            return [_custom("tool.progress", value)]
        call.output, call.error = event.output, event.error
        return [
            {
                "type": "TOOL_CALL_RESULT",
                "messageId": result_id(event.tool_call_id),
                "toolCallId": event.tool_call_id,
                "role": "tool",
                "content": tool_content(call),
            }
        ]

    # Waiting and the end

    def _wait(self, event: e.RunWaiting) -> list[dict[str, Any]]:
        closed = self._finish("suspended") if waits_for_person(event.reason) else []
        told = closed + self._waiting(event)
        if waits_for_person(event.reason):
            asked = told[-1]["outcome"]["interrupts"]
            self.answered_in |= {interrupt["id"]: self.segment for interrupt in asked}
        return told

    def _waiting(self, wait: e.RunWaiting | Waiting) -> list[dict[str, Any]]:
        if not waits_for_person(wait.reason):
            value = {"reason": wait.reason} | ({} if wait.expires_at is None else {"expires_at": wait.expires_at})
            return [_custom("run.waiting", value)]
        interrupt: dict[str, Any] = {"id": wait.wait_id or wait.reason, "reason": wait.reason}
        if wait.prompt:
            interrupt["message"] = wait.prompt
        if isinstance(wait.schema, dict):
            interrupt["responseSchema"] = wait.schema
        if wait.expires_at is not None:
            interrupt["expiresAt"] = wait.expires_at
        interrupts = [
            interrupt | {"id": wait.wait_id or call, "toolCallId": call}
            for call in asked_calls(wait, self._calls.values())
        ] or [interrupt]
        return [self._finished({"type": "interrupt", "interrupts": interrupts})]

    def _end(self, event: e.Terminal) -> list[dict[str, Any]]:
        return self._finish("success") + self._terminal(event)

    def _terminal(self, event: e.Terminal) -> list[dict[str, Any]]:
        usage = [_usage(self._model, event.usage)]
        if isinstance(event, e.RunFailed):
            return [{"type": "RUN_ERROR", "message": event.message, "code": event.code, "usage": usage}]
        outcome: dict[str, Any] = {"type": "cancelled"}
        if isinstance(event, e.RunCompleted):
            outcome = {"type": "success"}
            pending = [call.tool_call_id for call in self._calls.values() if call.state == "pending"]
            if pending:
                outcome["pendingToolCallIds"] = pending
        result = {"message_id": event.message_id, "cost_microusd": event.cost_microusd}
        return [self._finished(outcome) | {"usage": usage, "result": result}]

    def _finish(self, subagents: str) -> list[dict[str, Any]]:
        """Close whatever is open; the AG-UI run ends."""
        events = [payload for number in list(self._open) for payload in self._close_part(number)]
        for step in list(self._steps):
            events += self._step_finished(step)
        events += [_left(agent, subagents) for agent in self._agents]
        self._agents = []
        self._opened = False
        self.segment += 1
        return events

    def _finished(self, outcome: dict[str, Any]) -> dict[str, Any]:
        return {"type": "RUN_FINISHED", "threadId": self._thread_id, "runId": self._run_id, "outcome": outcome}


def _entered(agent: str) -> dict[str, Any]:
    return {"type": "SUBAGENT_STARTED", "subagentRunId": agent, "name": agent}


def _left(agent: str, outcome: str) -> dict[str, Any]:
    return {"type": "SUBAGENT_FINISHED", "subagentRunId": agent, "outcome": {"type": outcome}}


def _custom(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "CUSTOM", "name": name, "value": value}


def _source(source: SourcePart) -> dict[str, Any]:
    value = {"source_id": source.source_id, "title": source.title, "url": source.url, "quote": source.quote}
    return _custom("source", {key: item for key, item in value.items() if item is not None})


def _usage(model: str, usage: Usage) -> dict[str, Any]:
    provider, _, name = model.partition(":")
    return {
        "provider": provider,
        "model": name,
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "reasoningTokens": usage.reasoning_tokens,
        "cachedInputTokens": usage.cached_tokens,
    }
