"""The client against gateways that die, repeat themselves, skip, refuse and hang."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import httpx2
import pytest
from contracts.codes import Code
from contracts.cursor import InvalidCursorError
from contracts.events import RunCompleted, RunEvent, TextDelta, encode_event
from contracts.facts import FeedEntry
from contracts.ids import MESSAGE, RUN, THREAD, new_id
from contracts.usage import Usage
from everthread_client import BrokenStreamError, EverthreadClient, ProblemError, UnreachableError

RUN_ID, THREAD_ID, MESSAGE_ID = new_id(RUN), new_id(THREAD), new_id(MESSAGE)
AT = "2026-11-21T03:17:47.123Z"
RETRY = "retry: 20\n: stream open\n\n"


class SentRequest(Protocol):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Gateway(Protocol):
    answers: list[bytes]
    requests: list[SentRequest]
    hold: asyncio.Event | None

    @property
    def url(self) -> str: ...
    async def kill(self) -> None: ...


Gateways = Sequence[Gateway]
Build = Callable[..., bytes]


def text(sequence: int) -> TextDelta:
    return TextDelta(
        thread_id=THREAD_ID, run_id=RUN_ID, sequence=sequence, attempt=1, at=AT, part=0, delta=f"word{sequence} é "
    )


def end(sequence: int) -> RunCompleted:
    return RunCompleted(
        thread_id=THREAD_ID,
        run_id=RUN_ID,
        sequence=sequence,
        attempt=1,
        at=AT,
        message_id=MESSAGE_ID,
        usage=Usage(),
        cost_microusd=0,
    )


def frame(event: RunEvent) -> str:
    data = encode_event(event).decode()
    return f"id: {event.sequence + 100}-{event.sequence}\nevent: {json.loads(data)['type']}\ndata: {data}\n\n"


def frames(first: int, last: int) -> str:
    return "".join(frame(text(n)) for n in range(first, last + 1))


@pytest.fixture
async def client(gateways: Gateways) -> AsyncIterator[EverthreadClient]:
    async with EverthreadClient([gateway.url for gateway in gateways], "token-1", patience=20) as made:
        yield made


async def followed(client: EverthreadClient, cursor: str | None = None) -> list[int]:
    return [event.sequence async for event in client.follow(RUN_ID, cursor)]


async def test_a_run_in_one_stream(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    gateways[0].answers = [stream(RETRY, frames(1, 3), frame(end(4)))]
    events = [event async for event in client.follow(RUN_ID)]
    assert events == [text(1), text(2), text(3), end(4)]
    request = gateways[0].requests[0]
    assert request.path == f"/v1/runs/{RUN_ID}/events"
    assert request.headers["authorization"] == "Bearer token-1"
    assert request.headers["last-event-id"] == "0-0", "every event, whatever a gateway does for who names no place"


async def test_the_gateway_dies_in_mid_stream(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    cut_in_a_character = stream(RETRY, frames(1, 3), frame(text(4)))[:-8]
    gateways[0].answers = [cut_in_a_character]
    gateways[1].answers = [stream(RETRY, frames(4, 6), frame(end(7)))]
    assert await followed(client) == [1, 2, 3, 4, 5, 6, 7]
    assert gateways[1].requests[0].headers["last-event-id"] == "103-3"


async def test_what_was_given_out_is_never_given_out_again(
    client: EverthreadClient, gateways: Gateways, stream: Build
) -> None:
    gateways[0].answers = [stream(RETRY, frames(1, 3), frames(2, 4))]
    gateways[1].answers = [stream(frames(1, 5), frame(end(6)))]
    assert await followed(client) == [1, 2, 3, 4, 5, 6]


async def test_a_gap_is_filled_by_reconnecting(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    gateways[0].answers = [stream(RETRY, frames(1, 2), frames(5, 6))]
    gateways[1].answers = [stream(frames(3, 6), frame(end(7)))]
    assert await followed(client) == [1, 2, 3, 4, 5, 6, 7]
    assert gateways[1].requests[0].headers["last-event-id"] == "102-2"


async def test_a_gap_that_stays_is_said(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    for gateway in gateways:
        gateway.answers = [stream(RETRY, frames(3, 4))] * 9
    with pytest.raises(BrokenStreamError, match="event 3 came after 0"):
        await followed(client)


async def test_from_a_cursor(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    gateways[0].answers = [stream(frames(4, 5), frame(end(6)))]
    assert await followed(client, "103-3") == [4, 5, 6]
    assert gateways[0].requests[0].headers["last-event-id"] == "103-3"
    with pytest.raises(InvalidCursorError):
        await followed(client, "tomorrow")


async def test_after_the_last_event_there_is_nothing(
    client: EverthreadClient, gateways: Gateways, answer: Build
) -> None:
    gateways[0].answers = [answer(204)]
    assert await followed(client, "9223372036854775807-7") == []


async def test_cursors_lead_to_where_they_were_given(
    client: EverthreadClient, gateways: Gateways, stream: Build
) -> None:
    gateways[0].answers = [stream(frames(1, 2), frame(end(3)))]
    found = [(cursor, event.sequence) async for cursor, event in client.follow_with_cursors(RUN_ID)]
    assert found == [("101-1", 1), ("102-2", 2), ("103-3", 3)]


async def test_heartbeats_end_frames_and_unknown_types_are_passed_over(
    client: EverthreadClient, gateways: Gateways, stream: Build
) -> None:
    newer = f'id: 102-2\nevent: hologram\ndata: {{"type":"hologram","run_id":"{RUN_ID}","sequence":2}}\n\n'
    gateways[0].answers = [stream(RETRY, frames(1, 1), ": \n\n", newer, 'event: end\ndata: {"reason":"draining"}\n\n')]
    gateways[1].answers = [stream(frames(3, 3), frame(end(4)))]
    assert await followed(client) == [1, 3, 4]
    assert gateways[1].requests[0].headers["last-event-id"] == "102-2"


async def test_busy_and_failing_gateways_are_tried_again(
    client: EverthreadClient, gateways: Gateways, stream: Build, answer: Build
) -> None:
    gateways[0].answers = [answer(503, '{"code":"unavailable"}', retry_after="0"), stream(frames(1, 1), frame(end(2)))]
    gateways[1].answers = [answer(502, "<html>")]
    assert await followed(client) == [1, 2]


async def test_a_dead_gateway_is_passed_by(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    await gateways[0].kill()
    gateways[1].answers = [stream(frames(1, 1), frame(end(2)))]
    assert await followed(client) == [1, 2]


async def test_a_silent_stream_is_taken_for_dead(gateways: Gateways, stream: Build) -> None:
    gateways[0].hold = asyncio.Event()
    gateways[0].answers = [stream(RETRY, frames(1, 1))]
    gateways[1].answers = [stream(frames(2, 2), frame(end(3)))]
    async with EverthreadClient([gateway.url for gateway in gateways], "t", idle_seconds=0.2) as client:
        assert await followed(client) == [1, 2, 3]


@pytest.mark.parametrize(
    ("status", "code"), [(401, Code.TOKEN_EXPIRED), (404, Code.RUN_NOT_FOUND), (400, Code.CURSOR_INVALID)]
)
async def test_a_refusal_is_final(
    client: EverthreadClient, gateways: Gateways, answer: Build, status: int, code: Code
) -> None:
    gateways[0].answers = [answer(status, json.dumps({"code": code, "detail": "No."}))]
    with pytest.raises(ProblemError) as refused:
        await followed(client)
    assert (refused.value.status, refused.value.code, refused.value.detail) == (status, code, "No.")
    assert len(gateways[0].requests) == 1


async def test_nobody_anywhere_is_said_in_the_end(gateways: Gateways) -> None:
    urls = [gateway.url for gateway in gateways]
    for gateway in gateways:
        await gateway.kill()
    async with EverthreadClient(urls, "t", patience=0.5) as client:
        with pytest.raises(UnreachableError):
            await followed(client)
        with pytest.raises(UnreachableError):
            await client.send(THREAD_ID, "hello")


async def test_another_server_at_the_address_is_said(gateways: Gateways, answer: Build) -> None:
    gateways[0].answers = [answer(200, "{}")] * 50
    async with EverthreadClient(gateways[0].url, "t", patience=0.5) as client:
        with pytest.raises(UnreachableError, match="no event stream"):
            await followed(client)


async def test_a_fresh_token_for_each_connection(gateways: Gateways, stream: Build) -> None:
    tokens = iter(["first", "second"])
    gateways[0].answers = [stream(RETRY, frames(1, 1), 'event: end\ndata: {"reason":"token_expired"}\n\n')]
    gateways[1].answers = [stream(frame(end(2)))]
    async with EverthreadClient([gateway.url for gateway in gateways], lambda: next(tokens)) as client:
        assert await followed(client) == [1, 2]
    assert gateways[1].requests[0].headers["authorization"] == "Bearer second"


async def test_leaving_early_closes_the_connection(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    gateways[0].hold = asyncio.Event()
    gateways[0].answers = [stream(frames(1, 5))]
    async with aclosing(client.follow(RUN_ID)) as events:
        async for event in events:
            assert event.sequence == 1
            break


ACCEPTED = json.dumps(
    {
        "message_id": MESSAGE_ID,
        "assistant_message_id": MESSAGE_ID,
        "run_id": RUN_ID,
        "path": "durable_event",
        "cursor": "0-0",
        "later": 1,
    }
)


async def test_sending_is_repeated_with_one_key(client: EverthreadClient, gateways: Gateways, answer: Build) -> None:
    gateways[0].answers = []  # takes the request and dies: accepted or not, nobody knows
    gateways[1].answers = [answer(202, ACCEPTED)]
    accepted = await client.send(THREAD_ID, "Grüße")
    assert (accepted.run_id, accepted.cursor) == (RUN_ID, "0-0")
    one, two = gateways[0].requests[0], gateways[1].requests[0]
    assert one.headers["idempotency-key"] == two.headers["idempotency-key"]
    assert json.loads(two.body) == {"content": "Grüße"}
    assert two.path == f"/v1/threads/{THREAD_ID}/messages"


async def test_a_start_cursor_follows_from_the_start(
    client: EverthreadClient, gateways: Gateways, stream: Build
) -> None:
    gateways[0].answers = [stream(frames(1, 1), frame(end(2)))]
    assert await followed(client, "0-0") == [1, 2]


async def test_creating_a_thread_is_repeated_with_one_key(
    client: EverthreadClient, gateways: Gateways, answer: Build
) -> None:
    gateways[0].answers = []  # takes the request and dies: made or not, nobody knows
    gateways[1].answers = [answer(201, json.dumps({"id": THREAD_ID, "title": "Trip"}))] * 2
    assert (await client.create_thread(title="Trip", tags=["a"])).title == "Trip"
    one, two = gateways[0].requests[0], gateways[1].requests[0]
    assert len(one.headers["idempotency-key"]) == 32
    assert one.headers["idempotency-key"] == two.headers["idempotency-key"]
    assert json.loads(two.body) == {"title": "Trip", "tags": ["a"]}
    await client.create_thread(title="Trip", idempotency_key="mine")
    assert gateways[1].requests[1].headers["idempotency-key"] == "mine"


async def test_creating_a_thread_passes_a_dead_gateway_by(
    client: EverthreadClient, gateways: Gateways, answer: Build
) -> None:
    await gateways[0].kill()
    gateways[1].answers = [answer(201, json.dumps({"id": THREAD_ID}))]
    assert (await client.create_thread()).id == THREAD_ID


async def test_cancel(client: EverthreadClient, gateways: Gateways, answer: Build) -> None:
    gateways[0].answers = [answer(202, "{}"), answer(409, '{"code":"run_finished"}'), answer(404, '{"code":"x"}')]
    assert await client.cancel(RUN_ID) is True
    assert await client.cancel(RUN_ID) is False
    with pytest.raises(ProblemError):
        await client.cancel(RUN_ID)


async def test_the_feed_goes_on_over_connections(client: EverthreadClient, gateways: Gateways, stream: Build) -> None:
    def entry(number: int) -> str:
        data = {"id": f"fct_{number}", "type": "thread.changed", "thread_id": THREAD_ID, "at": AT}
        return f"id: {number}-0\nevent: thread.changed\ndata: {json.dumps(data)}\n\n"

    gateways[0].answers = [stream(RETRY, entry(1), entry(2))]
    gateways[1].answers = [stream(RETRY, entry(2), entry(3))]
    found: list[tuple[str, FeedEntry]] = []
    async with aclosing(client.me_events()) as entries:
        async for item in entries:
            found.append(item)
            if len(found) == 3:
                break
    assert [(cursor, item.id) for cursor, item in found] == [("1-0", "fct_1"), ("2-0", "fct_2"), ("3-0", "fct_3")]
    assert gateways[1].requests[0].headers["last-event-id"] == "2-0"


async def test_ids_are_checked_before_they_reach_an_address(client: EverthreadClient) -> None:
    with pytest.raises(ValueError, match="not a run_ id"):
        await followed_id(client, "../threads")


async def followed_id(client: EverthreadClient, run_id: str) -> None:
    async for _ in client.follow(run_id):
        pass


async def test_a_given_http_client_is_used(gateways: Gateways, stream: Build) -> None:
    gateways[0].answers = [stream(frame(end(1)))]
    http = httpx2.AsyncClient(headers={"x-from": "test"})
    async with EverthreadClient(gateways[0].url, "t", http=http) as client:
        assert await followed(client) == [1]
    assert gateways[0].requests[0].headers["x-from"] == "test"
    assert http.is_closed
