"""What a shadow run works with: it repeats a run that was served, unseen, and may change nothing outside.

Tools with side effects, and those that ask a person, are not carried out but answered from the served run's record. What only
reads is done for real. A shadow waits for nobody and spends nothing of the user's budget.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from contracts.parts import ToolCallPart

from inference.agents.domain.config import AgentConfig
from inference.domain.run_input import RunInput
from inference.ports import Cite, NoBudgets, Parts, RunInputs, Tools
from inference.tools.domain.choice import Situation
from inference.tools.domain.outcome import Output, Suspend, ToolFailedError, ToolOutcome
from inference.tools.domain.spec import ToolSpec
from inference.tools.ports import Tool, ToolContext
from inference.tools.toolbox import Offered

NOT_RECORDED: Final = (
    "This call is not in the record of the answer that is repeated, and a repetition does not carry it out."
)


def shadow_parts(parts: Parts) -> Parts:
    """The same parts for a run with `shadow_of`."""
    record = ServedRecord()
    return replace(
        parts,
        inputs=_RecordedInputs(parts.inputs, record),
        tools=_RecordedTools(parts.tools, record),
        budgets=NoBudgets(),
        timers=None,
    )


class ServedRecord:
    """The tool calls of the served run, each given out once."""

    def __init__(self) -> None:
        self._left: list[ToolCallPart] = []

    def fill(self, found: RunInput) -> None:
        """Begin anew with what conversation keeps of the served run."""
        self._left = [part for part in found.recorded if isinstance(part, ToolCallPart)]

    def take(self, name: str, arguments: Mapping[str, Any]) -> ToolCallPart | None:
        """The call with these arguments, else the next one of that tool: a model may word the same call differently."""
        mine = [call for call in self._left if call.name == name]
        found = next((call for call in mine if call.input == arguments), mine[0] if mine else None)
        self._left = [call for call in self._left if call is not found]
        return found


class _RecordedInputs:
    def __init__(self, inner: RunInputs, record: ServedRecord) -> None:
        self._inner, self._record = inner, record

    async def get(self, run_id: str) -> RunInput:
        """See ports.RunInputs."""
        found = await self._inner.get(run_id)
        self._record.fill(found)
        return found


class _RecordedTools:
    def __init__(self, inner: Tools, record: ServedRecord) -> None:
        self._inner, self._record = inner, record

    async def offer(self, agent: AgentConfig, situation: Situation, cite: Cite) -> Offered:
        """See ports.Tools."""
        offered = await self._inner.offer(agent, situation, cite)
        tools = {name: RecordedTool(tool, self._record) for name, tool in offered.tools.items()}
        return Offered(tools, offered.left_out)

    def check(self, spec: ToolSpec, arguments: Any) -> str | None:
        """See ports.Tools."""
        return self._inner.check(spec, arguments)


class RecordedTool:
    """A tool of a shadow run: tools.ports.Tool."""

    def __init__(self, tool: Tool, record: ServedRecord) -> None:
        self._tool, self._record = tool, record
        self._is_carried_out = not (tool.spec.side_effects or tool.spec.approval)

    @property
    def spec(self) -> ToolSpec:
        """The tool's own; nobody is asked about a call that is not made."""
        return self._tool.spec if self._is_carried_out else replace(self._tool.spec, approval=False, retries=0)

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """See tools.ports.Tool."""
        if self._is_carried_out:
            outcome = await self._tool.call(arguments, context)
            if not isinstance(outcome, Suspend):
                return outcome
        recorded = self._record.take(self._tool.spec.name, arguments)
        if recorded is None:
            raise ToolFailedError(NOT_RECORDED)
        if recorded.state == "error":
            raise ToolFailedError(recorded.error or NOT_RECORDED)
        return Output(recorded.output)
