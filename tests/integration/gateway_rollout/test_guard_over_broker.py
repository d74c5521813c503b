"""The guard over a real broker: one gateway at a time, every step a change of the flag, a person's hand respected."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from bus.jetstream import connect
from contracts.audit import RolloutChanged, decode_change
from contracts.codes import Code
from contracts.subjects import ROLLOUT_AUDITS, live
from gateway.adapters.audit_stream import AuditStream
from gateway.adapters.rollout_bucket import Lease, RolloutBucket
from gateway.domain.comparison import RunResult
from gateway.domain.guard import Broken, GuardPolicy
from gateway.domain.path_flag import DURABLE, LEGACY, shadow_share_of, share_of, standard_definition
from gateway.domain.problems import Refusal
from gateway.handlers.change_flag import change_flag
from gateway.handlers.guard_rollout import GUARD, guard_rollout
from gateway.handlers.steer_rollout import Steering, steer_rollout
from gateway.handlers.tell_changes import tell_changes

from tests.integration.gateway_rollout.conftest import Gateway, StartGateway, in_force, until
from tests.servers import NatsServer

POLICY = GuardPolicy(least_runs=5, least_seconds=0, sample=5, cool_down=60)
NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


class Results:
    """What a test says of both paths; without anything, nobody answers."""

    def __init__(self) -> None:
        self.failing = 0
        self.silent = False

    async def list_run_results(
        self, *, since: datetime, limit: int, with_operations: bool = False
    ) -> Sequence[RunResult]:
        if self.silent:
            raise Refusal(Code.UNAVAILABLE, "Nobody answers.")
        done = [RunResult(path=path, status="complete", duration_ms=9) for path in (DURABLE, LEGACY) for _ in range(30)]
        return [RunResult(path=DURABLE, status="error") for _ in range(self.failing)] + done


def store_of(gateway: Gateway, name: str = "gateway-1") -> RolloutBucket:
    return RolloutBucket(gateway.bus, instance=name)


async def steer(gateway: Gateway, action: Steering, share: int | None = None, why: str = "a test") -> None:
    audit = AuditStream(gateway.bus)
    await steer_rollout(
        gateway.flags, store_of(gateway), action, share=share, by="usr_x", why=why, now=NOW, audit=audit
    )


async def test_it_walks_to_everybody_and_every_step_is_told(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    await steer(one, "set", 0)
    await steer(one, "resume")
    shares = []
    for number in range(7):
        # Whichever gateway has its turn: the state is theirs together.
        gateway = (one, other)[number % 2]
        await until(lambda: in_force([one, other], max(one.flags.state.revision, other.flags.state.revision)))
        await guard_rollout(gateway.flags, store_of(gateway), Results(), POLICY, now=NOW + timedelta(seconds=number))
        shares.append(share_of(gateway.flags.state.definition))
    assert shares == [1, 5, 25, 50, 100, 100, 100]
    history = await one.flags.history(10)
    assert [said["changed_by"] for _, said in history] == [GUARD] * 5 + ["usr_x"]
    assert "good enough" in history[0][1]["why"]


async def test_a_breach_goes_back_and_is_in_force_everywhere(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    results = Results()
    await steer(one, "set", 0)
    await steer(one, "resume")
    for number in range(3):
        await guard_rollout(one.flags, store_of(one), results, POLICY, now=NOW + timedelta(seconds=number))
    assert share_of(one.flags.state.definition) == 25
    results.failing = 30
    decision = await guard_rollout(one.flags, store_of(one), results, POLICY, now=NOW + timedelta(seconds=9))
    assert decision is not None
    assert decision.action == "roll_back"
    await until(lambda: in_force([one, other], one.flags.state.revision))
    assert share_of(other.flags.state.definition) == 5
    state, _ = await store_of(other).load()
    assert (state.mode, state.rollbacks) == ("cooling", 1)
    assert "30 of 60 runs failed" in (await other.flags.history(1))[0][1]["why"]


async def test_without_figures_it_goes_back(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    results = Results()
    await steer(gateway, "set", 5)
    await steer(gateway, "resume")
    results.silent = True
    for number in range(2):
        await guard_rollout(gateway.flags, store_of(gateway), results, POLICY, now=NOW + timedelta(seconds=number))
    assert share_of(gateway.flags.state.definition) == 1


@pytest.mark.parametrize(
    ("shown", "told"), [(Broken(gaps=1), "out of order"), (Broken(doubles=1), "twice")], ids=["gap", "double"]
)
async def test_one_gap_or_double_that_any_gateway_showed_stops_it(
    start_gateway: StartGateway, shown: Broken, told: str
) -> None:
    one, other = await start_gateway(), await start_gateway()
    await steer(one, "set", 25)
    await steer(one, "resume")
    theirs = store_of(other, "gateway-2")
    await theirs.tell(shown)
    decision = await guard_rollout(one.flags, store_of(one), Results(), POLICY, now=NOW)
    assert decision is not None
    assert told in decision.reason
    assert decision.state.mode == "paused"
    # It counts once: what was before the step says nothing about it. A process of the same name goes on counting.
    await store_of(other, "gateway-2").tell(shown)
    assert await store_of(one).broken() == Broken(2 * shown.gaps, 2 * shown.doubles)


async def test_every_change_is_told_once_to_whoever_listens(start_gateway: StartGateway, nats: NatsServer) -> None:
    one, other = await start_gateway(), await start_gateway()
    heard: list[RolloutChanged] = []
    listener = await connect(nats.url("notifier"), instance="notifier-1")
    audits = [AuditStream(gateway.bus) for gateway in (one, other)]
    results = Results()
    async with listener.watch_live(live(ROLLOUT_AUDITS), lambda entry: heard.append(decode_change(entry.data))):
        await steer(one, "set", 5, why="by hand")
        await steer(one, "resume", why="go on")
        # Whoever changed it died before telling: the next turn of any gateway does, and both at once tell it once.
        await asyncio.gather(*(tell_changes(one.flags, audit) for audit in audits))
        results.failing = 30
        await guard_rollout(one.flags, store_of(one), results, POLICY, now=NOW)
        await until(lambda: in_force([other], one.flags.state.revision))
        for audit in audits:
            await tell_changes(other.flags, audit)
        await until(lambda: len(heard) >= 3)
    assert sorted((fact.change, fact.by, fact.share) for fact in heard) == [
        ("resumed", "usr_x", None),
        ("rolled_back", GUARD, 1),
        ("set", "usr_x", 5),
    ]
    assert "30 of 60 runs failed" in next(fact.why for fact in heard if fact.change == "rolled_back")
    await listener.drain()
    newest = await audits[0].newest(1)
    assert [fact.change for fact in newest] == ["rolled_back"]


async def test_shadows_keep_their_share_while_the_guard_walks(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    await steer(gateway, "set", 50)
    await steer(gateway, "shadow", 20)
    assert (share_of(gateway.flags.state.definition), shadow_share_of(gateway.flags.state.definition)) == (50, 20)
    await steer(gateway, "resume")
    await guard_rollout(gateway.flags, store_of(gateway), Results(), POLICY, now=NOW + timedelta(seconds=1))
    assert (share_of(gateway.flags.state.definition), shadow_share_of(gateway.flags.state.definition)) == (100, 0)


async def test_a_change_by_hand_pauses_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    await steer(gateway, "set", 5)
    await steer(gateway, "resume")
    await change_flag(
        gateway.flags,
        standard_definition(40),
        by="usr_y",
        why="by hand",
        expected=gateway.flags.state.revision,
        now=NOW,
    )
    assert await guard_rollout(gateway.flags, store_of(gateway), Results(), POLICY, now=NOW) is None
    state, _ = await store_of(gateway).load()
    assert (state.mode, state.share) == ("paused", 40)
    assert share_of(gateway.flags.state.definition) == 40


async def test_kill_puts_everybody_on_the_legacy_path_and_resume_begins_anew(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    await steer(one, "kill", why="a bad day")
    await until(lambda: in_force([one, other], one.flags.state.revision))
    assert await other.send("user-1/user/free/test", wish=DURABLE) == LEGACY
    assert await guard_rollout(one.flags, store_of(one), Results(), POLICY, now=NOW) is None
    await steer(other, "resume")
    decision = await guard_rollout(other.flags, store_of(other), Results(), POLICY, now=NOW)
    assert decision is not None
    assert share_of(other.flags.state.definition) == 1


async def test_two_evaluations_at_once_make_one_step(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    await steer(one, "set", 0)
    await steer(one, "resume")
    await until(lambda: in_force([one, other], one.flags.state.revision))
    decisions = await asyncio.gather(
        *(guard_rollout(g.flags, store_of(g), Results(), POLICY, now=NOW) for g in (one, other))
    )
    assert sum(decision is not None for decision in decisions) == 1
    await until(lambda: in_force([one, other], max(one.flags.state.revision, other.flags.state.revision)))
    assert share_of(one.flags.state.definition) == 1


async def test_one_gateway_has_the_lease_until_it_leaves_or_dies(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    first = Lease(one.bus, instance="gateway-1", seconds=0.3)
    second = Lease(other.bus, instance="gateway-2", seconds=0.3)
    assert await first.hold()
    assert not await second.hold()
    assert await first.hold()
    await first.release()
    assert await second.hold()
    assert not await first.hold()
    # The second dies: nobody renews.
    await asyncio.sleep(0.4)
    assert await first.hold()


@pytest.mark.parametrize("share", [0, 100])
async def test_a_share_goes_with_set_only(start_gateway: StartGateway, share: int) -> None:
    gateway = await start_gateway()
    with pytest.raises(Refusal):
        await steer(gateway, "pause", share)
    with pytest.raises(Refusal):
        await steer(gateway, "set")
