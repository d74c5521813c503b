"""What the steps of one attempt share, and who acts in them."""

from dataclasses import dataclass, field
from typing import Any

from contracts.commands import ExecuteRun

from inference.agents.domain.config import AgentConfig
from inference.domain.run_input import RunInput
from inference.handlers.generate_answer import Generation
from inference.handlers.journal import Journal
from inference.ports import Parts


@dataclass(frozen=True, slots=True)
class Acting:
    """The agent that acts, and what its events are tagged with: None for the default agent that nobody chose."""

    config: AgentConfig
    tag: str | None


@dataclass(slots=True)
class Work:
    """What the steps of one attempt share. `generations` are this attempt's calls by step, for the bill of one that is
    interrupted."""

    parts: Parts
    journal: Journal
    command: ExecuteRun
    attempt: int
    input: RunInput
    agent: str
    """The agent that the run began with; empty for the default one that nobody chose."""
    is_first: bool
    """No snapshot was ever written: conversation does not know yet that the run has begun."""
    inputs: dict[str, Any] = field(default_factory=dict)
    """What people have answered, by `wait_id`."""
    notes: dict[str, str] = field(default_factory=dict)
    """What they said when they refused a call, by `wait_id`."""
    generations: dict[int, Generation] = field(default_factory=dict)
    cited: set[str] = field(default_factory=set)
    joined: int = 0
    """How many of the user's words in between have joined the answer, or are about to."""
