"""The flag over a real broker: every gateway decides by the newest good definition, and every change says who and why."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from bus.jetstream import JetStreamBus
from contracts import topology
from contracts.ids import user_id_of
from contracts.subjects import flag_subject
from gateway.domain.path_flag import DURABLE, LEGACY, standard_definition

from tests.integration.gateway_rollout.conftest import REGISTRY, Gateway, StartGateway, in_force, until
from tests.servers import NatsServer

ADMIN = {"authorization": "Bearer root/admin"}
FLAG = "/v1/admin/flags/path"


async def put(
    gateway: Gateway, definition: Any, *, expected: int | None, why: str = "because", name: str = "root"
) -> Any:
    headers = {"authorization": f"Bearer {name}/admin", "content-type": "application/json"}
    if expected is not None:
        headers["if-match"] = f'"{expected}"'
    body = definition if isinstance(definition, bytes) else json.dumps(definition).encode()
    return await gateway.http.put(FLAG, params={"why": why}, content=body, headers=headers)


async def test_with_an_empty_bucket_everybody_is_on_the_durable_path(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    assert {await gateway.send(f"user-{n}") for n in range(10)} == {DURABLE}
    shown = await gateway.http.get(FLAG, headers=ADMIN)
    assert shown.status_code == 200
    assert shown.headers["etag"] == '"0"'
    assert shown.json()["in_force"] == 0
    assert shown.json()["share"] == 100


async def test_a_change_is_in_force_at_every_gateway_within_a_second(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    answered = await put(one, standard_definition(0), expected=0)
    assert answered.status_code == 200, answered.text
    revision = answered.json()["revision"]
    await until(lambda: in_force([one, other], revision), within=1.0)
    assert await other.send("user-1") == LEGACY
    # A gateway that starts later begins with it.
    later = await start_gateway()
    assert await later.send("user-1") == LEGACY


async def test_a_user_gets_the_same_path_at_every_gateway_and_keeps_it_as_the_share_grows(
    start_gateway: StartGateway,
) -> None:
    one, other = await start_gateway(), await start_gateway()
    revision, durable = 0, set[str]()
    for share in (10, 30, 60):
        revision = (await put(one, standard_definition(share), expected=revision)).json()["revision"]
        await until(lambda revision=revision: in_force([one, other], revision))  # type: ignore[misc]  # bound at once
        paths = {f"user-{n}": await one.send(f"user-{n}") for n in range(60)}
        assert {name: await other.send(name) for name in paths} == paths
        now = {name for name, path in paths.items() if path == DURABLE}
        assert durable < now
        durable = now


async def test_of_two_administrators_at_once_one_is_told(start_gateway: StartGateway) -> None:
    one, other = await start_gateway(), await start_gateway()
    answers: list[httpx2.Response] = await asyncio.gather(
        put(one, standard_definition(10), expected=0, name="ann"),
        put(other, standard_definition(90), expected=0, name="bob"),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    lost = next(answer for answer in answers if answer.status_code == 412).json()
    assert lost["code"] == "revision_conflict"
    assert "Nothing was changed" in lost["detail"]
    won = next(answer for answer in answers if answer.status_code == 200).json()
    await until(lambda: in_force([one, other], won["revision"]))
    assert one.flags.state.definition == other.flags.state.definition


async def test_a_look_at_a_users_path_knows_their_wish_and_makes_nobody_a_user(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    known, unknown = user_id_of("test", "ann"), user_id_of("test", "nobody")
    gateway.conversation.wishes[known] = DURABLE
    revision = (await put(gateway, standard_definition(0), expected=0)).json()["revision"]
    await until(lambda: in_force([gateway], revision))

    async def path_of(user_id: str) -> tuple[str, str, bool | None]:
        found = (await gateway.http.get(f"/v1/admin/rollout/users/{user_id}", headers=ADMIN)).json()
        return found["path"], found["wish"], found["seen"]

    assert await path_of(known) == (DURABLE, DURABLE, True)
    assert await path_of(unknown) == (LEGACY, "", False)


async def test_a_change_says_who_made_it_and_why(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    first = (await put(gateway, standard_definition(1), expected=0, name="ann", why="we begin")).json()
    stolen = standard_definition(5)
    stolen["metadata"] = {"changed_by": "somebody else", "ticket": "ROLL-7"}
    second = (await put(gateway, stolen, expected=first["revision"], name="bob", why="ann's step went well")).json()
    said = [(change["changed_by"], change["why"]) for change in second["history"]]
    assert said == [
        (user_id_of("test", "bob"), "ann's step went well"),
        (user_id_of("test", "ann"), "we begin"),
    ]
    assert second["definition"]["metadata"]["ticket"] == "ROLL-7"
    assert (await put(gateway, standard_definition(9), expected=second["revision"], why=" ")).status_code == 422


async def test_a_mistake_is_refused_with_its_place_and_the_old_one_stays(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    revision = (await put(gateway, standard_definition(0), expected=0)).json()["revision"]
    wrong = standard_definition(0)
    wrong["flags"]["path"]["targeting"]["if"][4]["fractional"][1][1] = 30
    refused = await put(gateway, wrong, expected=revision)
    assert refused.status_code == 422
    assert refused.json()["code"] == "flag_invalid"
    assert "/flags/path/targeting/if/4/fractional: the weights add up to 130, not to 100" in refused.json()["detail"]
    broken = await put(gateway, b'{"flags":\n {"path" {}}}', expected=revision)
    assert "line 2, column 10" in broken.json()["detail"]
    assert gateway.flags.state.revision == gateway.flags.state.in_force == revision
    assert await gateway.send("user-1") == LEGACY


async def test_a_broken_one_written_past_the_gateways_is_refused_by_each(
    start_gateway: StartGateway, admin_bus: JetStreamBus
) -> None:
    early = await start_gateway()
    good = (await put(early, standard_definition(0), expected=0)).json()["revision"]
    broken = await admin_bus.compare_and_set(
        topology.FLAGS.name, flag_subject("path"), b'{"flags": {"path": {"state": "ENABLED"}}}', expected=good
    )
    late = await start_gateway()
    await until(lambda: early.flags.state.revision == broken)
    for gateway in (early, late):
        assert gateway.flags.state.in_force == good
        assert "/flags/path/variants" in gateway.flags.state.refused
        assert await gateway.send("user-1") == LEGACY
    # It is replaced like any other: by its revision.
    assert (await put(late, standard_definition(100), expected=good)).status_code == 412
    assert (await put(late, standard_definition(100), expected=broken)).status_code == 200
    assert await late.send("user-1") == DURABLE


async def test_only_administrators_see_and_change_flags(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    user = {"authorization": "Bearer user-1"}
    assert (await gateway.http.get(FLAG, headers=user)).status_code == 403
    response = await gateway.http.put(FLAG, headers={**user, "if-match": "0"}, json=standard_definition(0))
    assert response.status_code == 403
    assert gateway.flags.state.revision == 0
    assert (await gateway.http.get("/v1/admin/flags/other", headers=ADMIN)).status_code == 404
    assert (await put(gateway, standard_definition(0), expected=None)).status_code == 428


async def test_an_administrators_header_is_an_order_and_anybody_elses_a_wish(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"] = {"fractional": [[DURABLE, 0], [LEGACY, 100]]}
    await put(gateway, definition, expected=0)
    assert await gateway.send("root/admin", wish=DURABLE) == DURABLE
    assert await gateway.send("user-1", wish=DURABLE) == LEGACY
    await put(gateway, standard_definition(0), expected=gateway.flags.state.revision)
    assert await gateway.send("user-1", wish=DURABLE) == DURABLE
    refused = await gateway.http.post(
        "/v1/threads/thr_01JABCDEFGHJKMNPQRSTVWXYZ0/messages",
        json={"content": "x"},
        headers={"authorization": "Bearer user-1", "x-everthread-path": "fast"},
    )
    assert refused.status_code == 422


async def test_the_thread_is_read_only_where_the_flag_decides_by_it(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    await put(gateway, standard_definition(0), expected=0)
    await gateway.send("user-1")
    assert gateway.conversation.threads_read == 0
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"] = {
        "if": [{"var": "tools"}, LEGACY, {"==": [{"var": "model"}, REGISTRY.default]}, DURABLE]
    }
    await put(gateway, definition, expected=gateway.flags.state.revision)
    assert await gateway.send("user-1") == DURABLE
    gateway.conversation.agent = "researcher"
    assert await gateway.send("user-1") == LEGACY
    gateway.conversation.agent, gateway.conversation.model = "", "other:model"
    assert await gateway.send("user-1") == LEGACY


async def test_claims_of_the_token_decide(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"]["if"][0:0] = [{"==": [{"var": "plan"}, "team"]}, DURABLE]
    await put(gateway, definition, expected=0)
    assert await gateway.send("user-1/user/team") == DURABLE
    assert await gateway.send("user-1/user/free/test") == DURABLE
    assert await gateway.send("user-1/user/free") == LEGACY


@pytest.mark.slow
async def test_without_the_broker_the_last_good_definition_stays_and_a_new_one_comes_with_it(
    start_gateway: StartGateway, nats: NatsServer
) -> None:
    one, other = await start_gateway(), await start_gateway()
    revision = (await put(one, standard_definition(0), expected=0)).json()["revision"]
    await until(lambda: in_force([one, other], revision))
    nats.kill()
    assert await one.send("user-1") == LEGACY
    nats.start()
    answered = await put(one, standard_definition(100), expected=revision)
    assert answered.status_code == 200, answered.text
    await until(lambda: in_force([one, other], answered.json()["revision"]), within=15)
    assert await other.send("user-1") == DURABLE
