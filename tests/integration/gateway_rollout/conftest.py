"""A real nats-server, and gateways over it that only accept messages: what path each message got is written down."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from bus.jetstream import JetStreamBus, connect
from contracts.ids import MESSAGE, RUN, THREAD, new_id, user_id_of
from contracts.registry import load_registry
from gateway.adapters.flag_bucket import FlagBucket
from gateway.domain.budgets import MessageBudget, StreamBudget
from gateway.domain.identity import Principal, bearer_token
from gateway.domain.records import Accepted, Preferences, Thread, User
from gateway.entrypoints.app import build
from gateway.entrypoints.wiring import Wiring
from gateway.ports import Conversation, Viewers

from tests.servers import NatsServer

REGISTRY = load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": "http://127.0.0.1:1/v1"})


class Anybody:
    """A token is `name`, `name/admin`, `name/user/team` (a plan) or `name/user/team/test`."""

    async def authenticate(self, authorization: str | None) -> Principal:
        name, role, plan, test = [*bearer_token(authorization).split("/"), "", "", ""][:4]
        return Principal(
            user_id_of("test", name),
            "admin" if role == "admin" else "user",
            4_000_000_000.0,
            plan=plan,
            test_account=test == "test",
        )


@dataclass
class Paths:
    """A conversation that remembers which path each message was accepted with."""

    accepted: dict[str, str] = field(default_factory=dict)
    agent: str = ""
    model: str = ""
    default_model: str = ""
    threads_read: int = 0
    wishes: dict[str, str] = field(default_factory=dict)

    async def accept_message(self, user_id: str, thread_id: str, *, path: str, **_: Any) -> Accepted:
        run_id = new_id(RUN)
        self.accepted[run_id] = path
        return Accepted(message_id=new_id(MESSAGE), assistant_message_id=new_id(MESSAGE), run_id=run_id, path=path)

    async def get_thread(self, user_id: str, thread_id: str) -> Thread:
        self.threads_read += 1
        return Thread(
            id=thread_id,
            title="",
            model=self.model,
            agent=self.agent,
            archived=False,
            pinned=False,
            starred=False,
            tags=(),
            created_at="",
            updated_at="",
        )

    async def look_up_user(self, user_id: str) -> User | None:
        if user_id not in self.wishes:
            return None
        wish = Preferences(system_prompt="", default_model="", path=self.wishes[user_id])
        return User(id=user_id, preferences=wish, created_at="")

    async def get_user(self, user_id: str) -> User:
        return User(
            id=user_id,
            preferences=Preferences(system_prompt="", default_model=self.default_model),
            created_at="",
        )


@dataclass
class Gateway:
    """One gateway: its flag, its door, its connection to the broker."""

    bus: JetStreamBus
    flags: FlagBucket
    conversation: Paths
    http: httpx2.AsyncClient

    async def send(self, token: str, *, wish: str = "", thread_id: str = "") -> str:
        """Send a message; the path that answers it."""
        headers = {"authorization": f"Bearer {token}"} | ({"x-everthread-path": wish} if wish else {})
        response = await self.http.post(
            f"/v1/threads/{thread_id or new_id(THREAD)}/messages", json={"content": "hello"}, headers=headers
        )
        assert response.status_code == 202, response.text
        path: str = response.json()["path"]
        return path

    async def close(self) -> None:
        await self.http.aclose()
        await self.flags.close()
        await self.bus.drain()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def admin_bus(nats: NatsServer) -> AsyncIterator[JetStreamBus]:
    bus = await connect(nats.url("admin"), instance="admin")
    await bus.reconcile()
    yield bus
    await bus.drain()


StartGateway = Callable[[], Awaitable[Gateway]]


@pytest.fixture
async def start_gateway(nats: NatsServer, admin_bus: JetStreamBus) -> AsyncIterator[StartGateway]:
    started: list[Gateway] = []

    async def start() -> Gateway:
        bus = await connect(nats.url("gateway"), instance=f"gateway-{len(started) + 1}")
        flags = FlagBucket(bus)
        await flags.start()
        paths = Paths()

        async def ready() -> tuple[bool, dict[str, bool]]:
            return True, {}

        wiring = Wiring(
            conversation=cast(Conversation, paths),
            log=bus.run_log,
            viewers=cast(Viewers, None),
            authenticator=Anybody(),
            models=REGISTRY,
            readiness=ready,
            messages=MessageBudget(per_second=1000, burst=1000),
            streams=StreamBudget(per_user=100),
            flags=flags,
        )
        app, _ = build(wiring, version="0")
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway")
        started.append(Gateway(bus, flags, paths, http))
        return started[-1]

    yield start
    for gateway in started:
        await gateway.close()


async def until(holds: Callable[[], bool], within: float = 5.0) -> None:
    """Wait for it; AssertionError when it does not come."""
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.01)


def in_force(gateways: Sequence[Gateway], revision: int) -> bool:
    return all(gateway.flags.state.in_force == revision for gateway in gateways)
