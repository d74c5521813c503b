"""What a decision of the flag leaves on the request's span, in OpenTelemetry's words, and whose wish it heard."""

from collections.abc import Iterator
from typing import Any, cast

import pytest
from contracts.registry import load_registry
from gateway.adapters.flagd import PROVIDER, FlagdPathFlag
from gateway.adapters.path_wishes import REMEMBERED_SECONDS, PathWishes
from gateway.domain.identity import Principal
from gateway.domain.path_flag import (
    DURABLE,
    LEGACY,
    SHADOW,
    PathContext,
    served_by,
    shadow_share_of,
    share_of,
    standard_definition,
    switched_off,
    with_shadow,
    with_share,
)
from gateway.domain.records import Preferences, User
from gateway.handlers.choose_path import choose_path
from gateway.ports import Conversation
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

REGISTRY = load_registry({"EVERTHREAD_EMBEDDED_MODEL_URL": "http://127.0.0.1:1/v1"})
USER = "usr_01JABCDEFGHJKMNPQRSTVWXYZ0"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("POST"):
        yield exporter


def test_an_evaluation_is_an_event_of_the_span_in_the_conventions_names(spans: InMemorySpanExporter) -> None:
    flag = FlagdPathFlag(with_shadow(standard_definition(0), 100), revision=7)
    flag.decide(PathContext(user_id=USER))
    trace.get_current_span().end()
    (span,) = spans.get_finished_spans()
    (event,) = span.events
    assert event.name == "feature_flag.evaluation"
    assert dict(event.attributes or {}) == {
        "feature_flag.key": "path",
        "feature_flag.provider.name": PROVIDER,
        "feature_flag.result.variant": "shadow",
        "feature_flag.result.reason": "targeting_match",
        "feature_flag.version": "7",
    }
    assert dict(span.attributes or {})["feature_flag.result.variant"] == "shadow"


class Users:
    """A conversation that knows what each user would like."""

    def __init__(self) -> None:
        self.path, self.asked = "", 0

    async def get_user(self, user_id: str) -> User:
        self.asked += 1
        return User(
            id=user_id,
            preferences=Preferences(system_prompt="", default_model="", path=self.path),
            created_at="",
        )


async def chosen(flag: FlagdPathFlag, wishes: PathWishes, *, asked: str = "", role: Any = "user") -> str:
    principal = Principal(USER, role, 4_000_000_000.0)
    return await choose_path(
        flag,
        cast(Conversation, None),
        REGISTRY,
        principal,
        thread_id="",
        model="",
        asked=asked,
        wishes=wishes,
    )


async def test_a_preference_is_a_wish_that_the_flag_may_follow() -> None:
    users, now = Users(), 1000.0
    wishes = PathWishes(cast(Conversation, users), clock=lambda: now)
    flag = FlagdPathFlag(standard_definition(100))
    assert await chosen(flag, wishes) == DURABLE
    wishes.remember(USER, LEGACY)
    assert await chosen(flag, wishes) == LEGACY
    # The request's own wish goes first, an administrator's is an order.
    assert await chosen(flag, wishes, asked=DURABLE) == DURABLE
    off = FlagdPathFlag(switched_off(standard_definition(100)))
    wishes.remember(USER, DURABLE)
    assert await chosen(off, wishes) == LEGACY
    assert await chosen(off, wishes, asked=DURABLE, role="admin") == DURABLE
    # Changed at another gateway: heard of here within half a minute, with one call.
    users.path, calls = LEGACY, users.asked
    now += REMEMBERED_SECONDS
    assert [await chosen(flag, wishes) for _ in range(3)] == [LEGACY] * 3
    assert users.asked == calls + 1


async def test_a_flag_that_looks_at_no_wish_asks_for_none() -> None:
    users = Users()
    definition = standard_definition(100)
    definition["flags"]["path"]["targeting"] = definition["flags"]["path"]["targeting"]["if"][-1]
    await chosen(FlagdPathFlag(definition), PathWishes(cast(Conversation, users)))
    assert users.asked == 0


def test_shadows_have_a_share_beside_the_durable_path_and_move_nobody() -> None:
    ids = [f"usr_{number}" for number in range(2000)]
    before = FlagdPathFlag(standard_definition(30))
    definition = with_shadow(standard_definition(30), 20)
    flag = FlagdPathFlag(definition)
    decided = [flag.decide(PathContext(user_id=user)).variant for user in ids]
    assert (share_of(definition), shadow_share_of(definition)) == (30, 20)
    assert 300 < decided.count(SHADOW) < 500
    assert [served_by(variant) for variant in decided] == [
        before.decide(PathContext(user_id=user)).path for user in ids
    ]
    assert shadow_share_of(with_share(definition, 90)) == 10
    assert shadow_share_of(with_shadow(definition, 0)) == 0
    assert with_shadow(switched_off(definition), 5)["flags"]["path"]["state"] == "DISABLED"
