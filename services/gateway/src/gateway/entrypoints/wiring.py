"""What the entry points are built on, put together once in bootstrap."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from contracts.registry import Registry
from fastapi import Request

from gateway.console_ports import Console
from gateway.domain.agents import AgentList
from gateway.domain.attendance import Attendance
from gateway.domain.budgets import MessageBudget, StreamBudget
from gateway.domain.deliveries import Deliveries
from gateway.domain.guard import GuardPolicy
from gateway.domain.identity import Principal
from gateway.domain.oidc import OidcClient
from gateway.domain.path_flag import DURABLE
from gateway.domain.spending import BudgetStore, Spending
from gateway.domain.tickets import Tickets
from gateway.handlers.choose_path import choose_path
from gateway.notice_ports import Notices
from gateway.ports import (
    Authenticator,
    ClientThreads,
    Conversation,
    DemoWorkers,
    Documents,
    Flags,
    IdentityProvider,
    LogReader,
    PageFiles,
    RolloutStore,
    RunFeeds,
    RunResults,
    SessionKey,
    TicketStore,
    Viewers,
)
from gateway.rollout_ports import Audit, Shadows, Wishes
from gateway.sharing_ports import Presences, Sharing
from gateway.thread_ports import ThreadTools

PRINCIPAL = "everthread.principal"
ANSWERING_PATH = "everthread.path"
"""In the scope of a request that accepted a message: which path answers it."""

BEGAN = "everthread.began"
"""In the scope of a request: when it came, by the clock of `Wiring.attendance`."""

Readiness = Callable[[], Awaitable[tuple[bool, dict[str, bool]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """Everything behind the door."""

    conversation: Conversation
    log: LogReader
    viewers: Viewers
    authenticator: Authenticator
    models: Registry
    readiness: Readiness
    messages: MessageBudget
    streams: StreamBudget
    body_bytes: int = 262_144
    origins: list[str] = field(default_factory=list)
    tickets: Tickets = field(default_factory=Tickets)
    ticket_store: TicketStore | None = None
    """Without it a ticket is good at this gateway only."""
    clock: Callable[[], float] = time.time
    documents: Documents | None = None
    agents: AgentList | None = None
    spending: Spending | None = None
    budgets: BudgetStore | None = None
    document_bytes: int = 10 * 1024 * 1024
    attendance: Attendance = field(default_factory=Attendance)
    sharing: Sharing | None = None
    tools: ThreadTools | None = None
    presences: Presences | None = None
    flags: Flags | None = None
    """Without them every message is answered by the durable path."""
    rollout: "Rollout | None" = None
    wishes: Wishes | None = None
    """Without them nobody's preference is asked for."""
    notices: Notices | None = None
    page: PageFiles | None = None
    """The built page; without it `/` says that there is none."""
    session_key: SessionKey | None = None
    """Signs sessions by name, for development; without it a session begins with a token."""
    sign_in_url: str | None = None
    oidc: OidcClient | None = None
    """With it the page signs people in at the identity provider."""
    provider: IdentityProvider | None = None
    """Where a page asks that provider; with `oidc`."""
    trace_viewer_url: str | None = None
    """The address of a trace, with `{trace_id}`."""
    demo: DemoWorkers | None = None
    console: Console | None = None
    """What administrators see of the whole mesh."""

    async def choose_path(self, principal: Principal, *, thread_id: str, model: str, asked: str) -> str:
        """What to accept a message with: a path, or `shadow`; see handlers.choose_path. Raises Refusal."""
        if self.flags is None:
            return DURABLE
        return await choose_path(
            self.flags,
            self.conversation,
            self.models,
            principal,
            thread_id=thread_id,
            model=model,
            asked=asked,
            wishes=self.wishes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What administrators see and steer of the rollout."""

    store: RolloutStore
    results: RunResults
    policy: GuardPolicy
    shadows: Shadows
    audit: Audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What the doors of client protocols need beside `Wiring`."""

    threads: ClientThreads
    feeds: RunFeeds
    deliveries: Deliveries = field(default_factory=Deliveries)


def wiring_of(request: Request) -> Wiring:
    """The wiring, from within a FastAPI route."""
    wiring: Wiring = request.app.state.wiring
    return wiring


def principal_of(request: Request) -> Principal:
    """The verified caller: the door lets nobody through to /v1 without."""
    principal: Principal = request.scope[PRINCIPAL]
    return principal
