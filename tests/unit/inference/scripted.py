"""A model that follows the script of the upstream in process, and tools that remember who called them."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.usage import Usage
from inference.agents.domain.config import AgentConfig, Agents, read_agents
from inference.domain.tool_calls import ToolRequest
from inference.ports import Cite, Generated, ModelCall, Sink
from inference.tools.adapters.arguments import check_arguments
from inference.tools.adapters.function_tool import FunctionTool
from inference.tools.adapters.suspensions import ask_user_tool, hand_off_tool, wait_tool
from inference.tools.domain.choice import Situation, choose_tools
from inference.tools.domain.outcome import ToolFailedError
from inference.tools.domain.spec import ToolSpec
from inference.tools.ports import Now, Tool, ToolContext
from inference.tools.toolbox import Offered

from tests.upstream_script import malformed, parse_script, remaining, step_in, steps_of, tokens_of

INPUT_TOKENS = 10


@dataclass
class ScriptedModels:
    """Says what the last user message's script says, at once. Every call costs INPUT_TOKENS and a token a word."""

    calls: list[ModelCall] = field(default_factory=list)
    errors: dict[str, list[Exception]] = field(default_factory=dict)
    """By model: raised first, one a call."""

    async def generate(self, call: ModelCall, sink: Sink) -> Generated:
        self.calls.append(call)
        if self.errors.get(call.model.id):
            raise self.errors[call.model.id].pop(0)
        messages = as_json(call)
        assert malformed(messages) == ""
        asked = next(message["content"] for message in reversed(messages) if message["role"] == "user")
        steps = steps_of(asked)
        script = parse_script(steps[min(step_in(messages), len(steps) - 1)])
        tokens = remaining(tokens_of(script), call.prefix) if call.prefix else tokens_of(script)
        for token in tokens:
            sink.text(token)
            if sink.is_over:
                return Generated(finish_reason="length")
            await asyncio.sleep(0)
        requests = [
            ToolRequest(f"call_{number}", name, _read(arguments))
            for number, (name, arguments) in enumerate(script.calls)
        ]
        usage = Usage(input_tokens=INPUT_TOKENS, output_tokens=len(tokens))
        return Generated(
            finish_reason="tool_calls" if requests else script.finish,
            refusal=script.refusal,
            usage=usage,
            tool_requests=requests,
        )


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def as_json(call: ModelCall) -> list[dict[str, Any]]:
    """The messages as a provider gets them."""
    return [
        {
            "role": message.role,
            "content": message.content,
            "tool_call_id": message.tool_call_id,
            "tool_calls": [
                {"id": use.tool_call_id, "function": {"name": use.name, "arguments": use.arguments}}
                for use in message.calls
            ],
        }
        for message in call.messages
    ]


@dataclass
class ToolCalls:
    """Every call of a tool, by idempotency key, and the tools themselves."""

    keys: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)

    def tools(self, now: Now) -> list[Tool]:
        async def note(text: str, context: ToolContext) -> dict[str, str]:
            self.keys.append(context.idempotency_key)
            await asyncio.sleep(0)
            return {"noted": text}

        async def hold(context: ToolContext) -> str:
            self.keys.append(context.idempotency_key)
            context.progress({"done": 1})
            self.held.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.stopped.append(context.idempotency_key)
                raise
            return "never"

        def fail() -> str:
            raise ToolFailedError("It is broken.")

        async def pay(amount: int, context: ToolContext) -> str:
            self.keys.append(context.idempotency_key)
            return f"paid {amount}"

        return [
            FunctionTool(note, description="Note something."),
            FunctionTool(hold, description="Take for ever."),
            FunctionTool(fail, description="Always fails."),
            FunctionTool(pay, description="Pay.", approval=True, side_effects=True),
            ask_user_tool(now),
            wait_tool(now),
        ]


class ToolsByHand:
    """Implements ports.Tools."""

    def __init__(self, tools: Sequence[Tool], agents: Agents) -> None:
        self._tools, self._agents = tools, agents

    async def offer(self, agent: AgentConfig, situation: Situation, cite: Cite) -> Offered:
        names = {name: self._agents.by_name[name].description for name in agent.hand_off}
        more: list[Tool] = [hand_off_tool(names)] if names else []
        by_name = {tool.spec.name: tool for tool in (*more, *self._tools)}
        choice = choose_tools([tool.spec for tool in by_name.values()], [*agent.tools, "hand_off"], situation)
        return Offered({spec.name: by_name[spec.name] for spec in choice.tools}, choice.left_out)

    def check(self, spec: ToolSpec, arguments: Any) -> str | None:
        return check_arguments(spec, arguments)


def agents_of(**texts: str) -> Agents:
    """Agents by name, each the rest of its TOML; the default one has every tool."""
    files: Mapping[str, str] = {
        f"{name}.toml": f'name = "{name}"\n' + ("" if "[panel]" in text else f'system_prompt = "I am {name}."\n') + text
        for name, text in texts.items()
    }
    return read_agents({"default.toml": 'name = "default"\ntools = ["*"]', **files})
