"""The native door's calls: what is given, what is refused and how, what is stored."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import httpx2
import pytest
from bus.errors import UnavailableError
from contracts import events as e
from contracts.ids import new_id, user_id_of
from gateway.domain.budgets import MessageBudget
from gateway.ports import NotSentError

from tests.integration.gateway.conftest import MakeWorld
from tests.integration.gateway.world import ISSUER, World, token
from tests.plain_http import plain_client

JSON = {"content-type": "application/json"}


def problem(response: httpx2.Response) -> tuple[int, str]:
    """Status and code of a problem document, its form checked."""
    body = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code", "trace_id"} <= body.keys()
    assert body["status"] == response.status_code
    assert response.headers["x-trace-id"] == body["trace_id"]
    assert "Traceback" not in response.text
    return response.status_code, body["code"]


async def test_threads_are_created_listed_changed_and_deleted(world: World) -> None:
    async with world.client() as client:
        ids = [await world.thread(client) for _ in range(3)]
        page = (await client.get("/v1/threads", params={"limit": 2})).json()
        rest = (await client.get("/v1/threads", params={"limit": 2, "cursor": page["next_cursor"]})).json()
        assert [item["id"] for item in page["items"] + rest["items"]] == ids[::-1]
        assert rest["next_cursor"] is None
        change = {"title": "renamed", "archived": True, "pinned": True, "starred": True, "tags": ["a", "b"]}
        changed = (await client.patch(f"/v1/threads/{ids[0]}", json=change)).json()
        assert {name: changed[name] for name in change} == change
        again = (await client.patch(f"/v1/threads/{ids[0]}", json={"tags": []})).json()
        assert again == changed | {"tags": []}
        assert (await client.get(f"/v1/threads/{ids[0]}")).json() == again
        for archived, expected in ((True, ids[:1]), (False, ids[:0:-1])):
            listed = (await client.get("/v1/threads", params={"archived": archived})).json()
            assert [item["id"] for item in listed["items"]] == expected
        deleted = await client.delete(f"/v1/threads/{ids[0]}")
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert problem(await client.get(f"/v1/threads/{ids[0]}")) == (404, "thread_not_found")
        assert (await client.post("/v1/threads")).status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"content": ""}, 422, "message_empty"),
        ({"content": " \n\t"}, 422, "message_empty"),
        ({"content": "x" * 200_001}, 422, "message_too_long"),
        ({"content": "x", "model": "openai:none"}, 422, "model_unknown"),
        ({"content": "x", "model": "away:model"}, 422, "model_unknown"),
        ({"content": "x", "parent_message_id": "msg_1"}, 404, "message_not_found"),
        ({}, 422, "body_invalid"),
        ({"content": 7}, 422, "body_invalid"),
        ({"content": None}, 422, "body_invalid"),
        ({"content": "x", "extra": 1}, 422, "body_invalid"),
        ([], 422, "body_invalid"),
        ("x", 422, "body_invalid"),
        (None, 422, "body_invalid"),
    ],
    ids=str,
)
async def test_messages_that_are_refused_store_nothing(world: World, body: Any, status: int, code: str) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        assert problem(await client.post(f"/v1/threads/{thread}/messages", json=body)) == (status, code)
        assert (await client.get(f"/v1/threads/{thread}/messages")).json()["items"] == []
    assert world.conversation.accepts == 0


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b'{"content": "hel', JSON, 400, "body_invalid"),
        (b"", JSON, 422, "body_invalid"),
        (b"\xff\xfe{", JSON, 400, "body_invalid"),
        (b'{"content": "\xff"}', JSON, 400, "body_invalid"),
        (b'{"content": "\\ud800"}', JSON, 422, "body_invalid"),
        (b"[" * 100_000, JSON, 400, "body_invalid"),
        (b'{"content": "x"}', {"content-type": "text/plain"}, 415, "content_type_unsupported"),
        (b'{"content": "x"}', {}, 415, "content_type_unsupported"),
        (b'{"content": "' + b"x" * 262_144 + b'"}', JSON, 413, "body_too_large"),
        (b'{"content": "x"}', JSON | {"idempotency-key": "k" * 256}, 400, "idempotency_key_invalid"),
        (b'{"content": "x"}', JSON | {"idempotency-key": ""}, 400, "idempotency_key_invalid"),
        (b'{"content": "x"}', JSON | {"idempotency-key": "\xe4"}, 400, "idempotency_key_invalid"),
    ],
    ids=["cut", "empty", "utf-16", "latin-1", "lone surrogate", "deep", "text", "untyped", "large", "long", "no", "ä"],
)
async def test_bodies_that_cannot_be_read(
    world: World, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        response = await client.post(f"/v1/threads/{thread}/messages", content=content, headers=encoded)
        assert problem(response) == (status, code)
    assert world.conversation.accepts == 0


async def test_a_body_without_a_length_is_cut_off_at_the_limit(world: World) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b"x" * 65_536

    async with world.client() as client:
        thread = await world.thread(client)
        try:
            response = await client.post(f"/v1/threads/{thread}/messages", content=endless(), headers=JSON)
            assert problem(response) == (413, "body_too_large")
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            pass  # The connection was closed on a client that went on sending.
    assert sent < 50_000_000


async def test_a_message_of_200_000_characters_is_accepted(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        response = await client.post(f"/v1/threads/{thread}/messages", json={"content": "x" * 200_000})
        assert response.status_code == 202
        accepted = response.json()
        assert accepted.keys() >= {"message_id", "assistant_message_id", "run_id", "path", "cursor"}
        assert (accepted["path"], accepted["cursor"]) == ("durable_event", "0-0")
        run = (await client.get(f"/v1/runs/{accepted['run_id']}")).json()
    assert (run["status"], run["message_id"]) == ("pending", accepted["assistant_message_id"])


async def test_the_same_key_gives_the_same_answer_and_another_body_is_refused(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        path, key = f"/v1/threads/{thread}/messages", {"idempotency-key": "once"}
        answers = [await client.post(path, json={"content": "x"}, headers=key) for _ in range(3)]
        # The body is what it says, not how it is written.
        answers.append(await client.post(path, content=b'{ "model":"", "content":"x" }', headers=key | JSON))
        assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
        other = await client.post(path, json={"content": "y"}, headers=key)
        assert problem(other) == (422, "idempotency_mismatch")
        assert len((await client.get(path)).json()["items"]) == 2


async def test_what_is_somebody_elses_is_not_there(world: World) -> None:
    async with world.client() as owner, world.client("mallory") as stranger:
        thread = await world.thread(owner)
        run = (await world.answered(owner, thread)).state.run_id
        foreign, missing, injected = f"/v1/threads/{thread}", f"/v1/threads/{new_id('thr')}", "/v1/threads/thr_*.>"
        for base in (foreign, missing, injected):
            answers = [
                await stranger.get(base),
                await stranger.patch(base, json={"title": "mine"}),
                await stranger.delete(base),
                await stranger.get(f"{base}/messages"),
                await stranger.post(f"{base}/messages", json={"content": "x"}),
                await stranger.get(f"{base}/events"),
            ]
            assert {problem(answer) for answer in answers} == {(404, "thread_not_found")}
        for base in (f"/v1/runs/{run}", f"/v1/runs/{new_id('run')}", "/v1/runs/run_*.>"):
            answers = [await stranger.get(base + tail) for tail in ("", "/state", "/log", "/verify", "/events")]
            answers.append(await stranger.post(base + "/cancel"))
            assert {problem(answer) for answer in answers} == {(404, "run_not_found")}
        assert (await owner.get(f"/v1/threads/{thread}")).json()["title"] == "t"
        assert (await stranger.get("/v1/threads")).json()["items"] == []


async def test_nobody_gets_in_without_a_good_token(world: World) -> None:
    async with plain_client(base_url=world.base) as client:
        paths = ["/v1/threads", "/v1/me", "/v1/me/events", f"/v1/runs/{new_id('run')}/events", "/v1/nothing"]
        for path in paths:
            missing = await client.get(path)
            assert problem(missing) == (401, "token_missing"), path
            assert missing.headers["www-authenticate"] == 'Bearer realm="everthread"'
            wrong = await client.get(path, headers={"authorization": "Bearer nonsense"})
            assert problem(wrong) == (401, "token_invalid"), path
            late = await client.get(path, headers={"authorization": f"Bearer {token('ada', exp=1_000_000)}"})
            assert problem(late) == (401, "token_expired"), path
            assert 'error="invalid_token"' in late.headers["www-authenticate"]
        # Before the body is looked at.
        assert problem(await client.post("/v1/threads", content=b"{", headers=JSON)) == (401, "token_missing")


async def test_paths_methods_and_queries_that_do_not_exist(world: World) -> None:
    async with world.client() as client:
        for path in ("/v1/nothing", "/nothing", "/v1/threads/", "/v1//threads"):
            assert problem(await client.get(path)) == (404, "not_found"), path
        wrong = await client.put("/v1/threads")
        assert problem(wrong) == (405, "method_not_allowed")
        assert wrong.headers["allow"]
        assert problem(await client.post("/v1/me/events")) == (405, "method_not_allowed")
        for query in ({"limit": 0}, {"limit": 201}, {"limit": "many"}, {"archived": "maybe"}):
            assert problem(await client.get("/v1/threads", params=query)) == (422, "query_invalid")
        assert problem(await client.get("/v1/threads", params={"cursor": "x"})) == (400, "cursor_invalid")
        run = await world.answered(client, await world.thread(client))
        bad = await client.get(f"/v1/runs/{run.state.run_id}/log", params={"cursor": "yesterday"})
        assert problem(bad) == (400, "cursor_invalid")


async def test_a_running_answer_is_shown_from_its_log(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        writer = await world.ask(client, thread)
        run = writer.state.run_id

        async def shown() -> tuple[str, str]:
            items = (await client.get(f"/v1/threads/{thread}/messages")).json()["items"]
            assert [item["role"] for item in items] == ["user", "assistant"]
            return items[1]["status"], items[1]["content"]

        assert await shown() == ("pending", "")
        await writer.begin(world.conversation.runs[run][1].message_id)
        await writer.say("one ")
        assert await shown() == ("generating", "one ")
        await writer.snapshot()
        await writer.say("two ")
        assert await shown() == ("generating", "one two ")
        live = (await client.get(f"/v1/runs/{run}")).json()
        assert (live["status"], live["sequence"], live["attempts"]) == ("generating", 5, 1)
        assert problem(await client.get(f"/v1/runs/{run}/events", params={"cursor": "0"})) == (400, "cursor_invalid")
        assert (await client.get(f"/v1/runs/{run}/verify")).json()["equal"] is None
        await writer.complete()
        assert await shown() == ("complete", "one two ")
        world.conversation.record(writer.state)
        items = (await client.get(f"/v1/threads/{thread}/messages")).json()["items"]
        assert items[1]["usage"]["cached_tokens"] == 2
        assert items[1]["cost_microusd"] == 5
        assert items[1]["parts"] == [{"type": "text", "text": "one two "}]
        state = (await client.get(f"/v1/runs/{run}/state")).json()
        assert (state["status"], state["sequence"]) == ("complete", writer.state.sequence)


async def test_log_and_verification(world: World) -> None:
    async with world.client() as client:
        writer = await world.answered(client, await world.thread(client))
        base = f"/v1/runs/{writer.state.run_id}"
        whole = (await client.get(f"{base}/log")).json()
        assert [event["sequence"] for event in whole["items"]] == list(range(1, writer.state.sequence + 1))
        assert whole["next_cursor"] is None
        paged: list[Any] = []
        cursor = ""
        while True:
            page = (await client.get(f"{base}/log", params={"limit": 2, "cursor": cursor})).json()
            paged += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert paged == whole["items"]
        lines = await client.get(f"{base}/log", headers={"accept": "application/x-ndjson"})
        assert lines.headers["content-type"] == "application/x-ndjson"
        assert [e.decode_event(line.encode()).sequence for line in lines.text.splitlines()] == [
            event["sequence"] for event in whole["items"]
        ]
        verified = (await client.get(f"{base}/verify")).json()
        assert (verified["equal"], verified["differences"]) == (True, [])
        world.conversation.answer_of(world.conversation.runs[writer.state.run_id][1]).content += "!"
        verified = (await client.get(f"{base}/verify")).json()
        assert verified["equal"] is False
        assert "content" in verified["differences"]


async def test_stopping_is_durable_idempotent_and_too_late_after_the_end(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        writer = await world.ask(client, thread)
        run = writer.state.run_id
        answers = [await client.post(f"/v1/runs/{run}/cancel") for _ in range(3)]
        assert {answer.status_code for answer in answers} == {202}
        assert answers[0].json() == {"run_id": run, "status": "cancelling"}
        commands = [entry async for entry in world.bus.run_log.read(f"run.{thread}.{run}.command")]
        assert len(commands) == 1
        assert user_id_of(ISSUER, "ada") in commands[0].data.decode()
        await writer.begin("msg_x")
        await writer.complete()
        # Nobody has recorded the end yet; the log knows.
        assert problem(await client.post(f"/v1/runs/{run}/cancel")) == (409, "run_finished")
        world.conversation.record(writer.state)
        assert problem(await client.post(f"/v1/runs/{run}/cancel")) == (409, "run_finished")


async def test_me_preferences_and_models(world: World) -> None:
    async with world.client() as client:
        me = (await client.get("/v1/me")).json()
        assert (me["id"], me["role"]) == (user_id_of(ISSUER, "ada"), "user")
        wanted = {"system_prompt": "Be brief.", "default_model": "openai:gpt-4o-mini", "path": "legacy_sync"}
        assert (await client.patch("/v1/me/preferences", json=wanted)).json() == wanted
        assert (await client.patch("/v1/me/preferences", json={"system_prompt": ""})).json()["system_prompt"] == ""
        assert (await client.get("/v1/me/preferences")).json() == wanted | {"system_prompt": ""}
        refused = await client.patch("/v1/me/preferences", json={"default_model": "no:such"})
        assert problem(refused) == (422, "model_unknown")
        assert (await client.patch("/v1/me/preferences", json={"path": "shadow"})).status_code == 422
        listed = (await client.get("/v1/models")).json()
    models = {model["id"]: model for model in listed["items"]}
    assert models["openai:gpt-4o-mini"]["prices"] == {"input": 0.15, "cached_input": 0.075, "output": 0.6}
    assert models["openai:gpt-4o-mini"]["default"] is True
    assert models["openai:gpt-4o-mini"]["provider"] == "openai"
    assert models["away:model"]["available"] is False


async def test_health_hello_and_openapi_need_no_token(world: World) -> None:
    async with plain_client(base_url=world.base) as client:
        assert (await client.get("/healthz")).text == "alive\n"
        assert (await client.get("/readyz")).json() == {"ready": True, "checks": {"nats": True}}
        assert "openapi" in (await client.get("/")).json()
        schema = (await client.get("/openapi.json")).json()
        assert (await client.get("/docs")).status_code == 404
    assert schema["openapi"].startswith("3.1")
    assert schema["paths"]["/v1/runs/{run_id}/events"]["get"]["responses"]["204"]
    assert "4XX" in schema["paths"]["/v1/threads/{thread_id}/messages"]["post"]["responses"]
    assert "HTTPValidationError" not in str(schema)


async def test_a_user_who_sends_too_fast_waits_and_others_do_not(make_world: MakeWorld) -> None:
    world = await make_world(messages=MessageBudget(per_second=0.01, burst=2))
    async with world.client() as eager, world.client("bob") as other:
        thread = await world.thread(eager)
        answers = [await eager.post(f"/v1/threads/{thread}/messages", json={"content": "x"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert problem(answers[2]) == (429, "limit_reached")
        assert int(answers[2].headers["retry-after"]) > 1
        theirs = await world.thread(other)
        assert (await other.post(f"/v1/threads/{theirs}/messages", json={"content": "x"})).status_code == 202


async def test_conversation_that_is_away_is_a_503_with_a_time_to_come_back(make_world: MakeWorld) -> None:
    world = await make_world()
    async with world.client() as client:
        await world.rpc.stop(0)
        response = await client.get("/v1/threads", timeout=20)
        assert problem(response) == (503, "unavailable")
        assert int(response.headers["retry-after"]) >= 1


class Away:
    """A log that cannot be reached, or takes a command without ever confirming it."""

    def __init__(self, unconfirmed: type[UnavailableError]) -> None:
        self.unconfirmed = unconfirmed
        self.commands: list[bytes] = []

    async def last(self, subject: str) -> NoReturn:
        raise UnavailableError("no servers")

    async def read(self, subject_filter: str, *, after: int = 0) -> AsyncIterator[NoReturn]:
        yield await self.last(subject_filter)

    async def append_command(self, thread_id: str, run_id: str, data: bytes, **_: Any) -> NoReturn:
        self.commands.append(data)
        raise self.unconfirmed("no servers")


async def test_a_log_that_does_not_answer_hides_nothing_that_is_stored_and_what_is_shown_says_so(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        ended = await world.answered(client, thread, ["all ", "of it"])
        writer = await world.ask(client, thread)
        run = f"/v1/runs/{writer.state.run_id}"
        assert (await client.get(run)).json()["as_stored"] is False
        wiring: Any = world.wiring
        object.__setattr__(wiring, "log", Away(UnavailableError))
        items = (await client.get(f"/v1/threads/{thread}/messages")).json()["items"]
        assert [(item["status"], item["as_stored"]) for item in items] == [
            ("complete", False),
            ("complete", False),
            ("complete", False),
            ("pending", True),
        ]
        shown = (await client.get(run)).json()
        assert (shown["status"], shown["as_stored"]) == ("pending", True)
        shown = (await client.get(f"/v1/runs/{ended.state.run_id}")).json()
        assert (shown["status"], shown["as_stored"]) == ("complete", False)
        for what in ("state", "log", "timeline"):
            assert problem(await client.get(f"{run}/{what}")) == (503, "unavailable")


async def test_a_command_that_was_not_confirmed_says_whether_it_may_count(world: World) -> None:
    async with world.client() as client:
        writer = await world.ask(client, await world.thread(client))
        run = f"/v1/runs/{writer.state.run_id}"
        wiring: Any = world.wiring
        for unconfirmed, sentence in ((NotSentError, "was not recorded"), (UnavailableError, "may have been recorded")):
            away = Away(unconfirmed)
            object.__setattr__(wiring, "log", away)
            refused = await client.post(f"{run}/cancel")
            assert problem(refused) == (503, "unavailable")
            assert sentence in refused.json()["detail"]
            assert len(away.commands) == 1, "a log that cannot be read may still take it"
        answer = await client.post(f"{run}/input", json={"value": 1})
        assert problem(answer) == (503, "unavailable")
        assert "was not recorded" in answer.json()["detail"]
        assert len(away.commands) == 1, "nothing is answered that was not seen to wait"


async def test_faults_of_ours_say_where_to_look_and_nothing_else(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        await world.ask(client, thread)
        wiring: Any = world.wiring
        object.__setattr__(wiring, "log", None)
        response = await client.get(f"/v1/threads/{thread}/messages")
        assert problem(response) == (500, "internal")
        assert "NoneType" not in response.text


async def test_the_trace_goes_on_from_the_client_to_conversation(world: World) -> None:
    trace = "5e1f" * 8
    async with world.client() as client:
        thread = await world.thread(client)
        response = await client.post(
            f"/v1/threads/{thread}/messages",
            json={"content": "x"},
            headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
        )
        assert response.headers["x-trace-id"] == trace
        assert trace in world.conversation.metadata[0]["traceparent"]
        own = [(await client.get("/v1/me")).headers["x-trace-id"] for _ in range(2)]
        assert own[0] != own[1]
        assert all(len(trace_id) == 32 for trace_id in own)


async def test_browsers_of_named_origins_only(make_world: MakeWorld) -> None:
    world = await make_world(origins=("https://chat.example.org",))
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with plain_client(base_url=world.base) as client:
        good = await client.options("/v1/threads", headers=preflight | {"origin": "https://chat.example.org"})
        bad = await client.options("/v1/threads", headers=preflight | {"origin": "https://evil.example.org"})
        refused = await client.get("/v1/threads", headers={"origin": "https://chat.example.org"})
    assert good.headers["access-control-allow-origin"] == "https://chat.example.org"
    assert "access-control-allow-origin" not in bad.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://chat.example.org"


async def test_many_calls_at_once(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        path = f"/v1/threads/{thread}/messages"
        answers = await asyncio.gather(*[client.post(path, json={"content": f"{n}"}) for n in range(50)])
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["run_id"] for answer in answers}) == 50
