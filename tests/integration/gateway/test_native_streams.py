"""Event streams over real HTTP: every byte, every cut, every kind of viewer."""

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest
from contracts import events as e
from contracts.cursor import START, parse_cursor
from contracts.run_state import RunState
from contracts.subjects import run_subject, thread_events_subject
from gateway.handlers.watch import LONG

from tests.integration.gateway.conftest import MakeWorld
from tests.integration.gateway.test_native_calls import problem
from tests.integration.gateway.world import World, Writer
from tests.sse import Frame, frames


@asynccontextmanager
async def watching(client: httpx2.AsyncClient, path: str, **headers: str) -> AsyncIterator[AsyncIterator[Frame]]:
    async with client.stream("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-cache, no-transform"
        yield frames(response)


async def seen_by(client: httpx2.AsyncClient, path: str, cursor: str = "") -> list[Frame]:
    """All frames up to the end of the body."""
    async with watching(client, path, **({"last_event_id": cursor} if cursor else {})) as stream:
        return [frame async for frame in stream]


async def some(stream: AsyncIterator[Frame], count: int) -> list[Frame]:
    return [await anext(stream) for _ in range(count)]


def pairs(seen: list[Frame]) -> list[tuple[str, str, str]]:
    return [(frame.id, frame.event, frame.data) for frame in seen]


def folded(writer: Writer, seen: list[Frame]) -> RunState:
    """What a viewer has after these frames."""
    state = RunState(run_id=writer.state.run_id, thread_id=writer.state.thread_id)
    for frame in seen:
        state.apply(e.decode_event(frame.data.encode()))
    return state


def shape(state: RunState) -> tuple[Any, ...]:
    return state.status, state.content, state.message_parts, state.usage, state.cost_microusd, state.error_code


def shows_the_stored(writer: Writer, seen: list[Frame]) -> bool:
    """What a viewer has who was cut off is the stored message; the totals are those of the last event."""
    state = folded(writer, seen)
    last = seen[-1].json
    return (state.status, state.content, state.message_parts, last["usage"], last["cost_microusd"]) == (
        writer.state.status,
        writer.state.content,
        writer.state.message_parts,
        msgspec.to_builtins(writer.state.usage),
        writer.state.cost_microusd,
    )


def events_of(writer: Writer) -> str:
    return f"/v1/runs/{writer.state.run_id}/events"


async def begun(world: World, client: httpx2.AsyncClient, *deltas: str) -> Writer:
    """A run that has said something and goes on."""
    writer = await world.ask(client, await world.thread(client))
    await writer.begin(world.conversation.runs[writer.state.run_id][1].message_id)
    await writer.say(*deltas)
    return writer


async def test_a_stream_carries_the_logs_own_bytes(world: World) -> None:
    async with world.client() as client:
        writer = await world.answered(client, await world.thread(client))
        seen = await seen_by(client, events_of(writer))
        subject = run_subject(writer.state.thread_id, writer.state.run_id, "event")
        stored = [entry async for entry in world.bus.run_log.read(subject)]
    assert [frame.data.encode() for frame in seen] == [entry.data for entry in stored]
    assert [parse_cursor(frame.id).stream_sequence for frame in seen] == [entry.stream_sequence for entry in stored]
    assert [frame.event for frame in seen] == [frame.json["type"] for frame in seen]
    assert shape(folded(writer, seen)) == shape(writer.state)


async def test_the_first_bytes_come_at_once_and_say_when_to_come_back(world: World) -> None:
    async with world.client() as client:
        writer = await world.ask(client, await world.thread(client))
        waits = set()
        for _ in range(5):
            async with client.stream("GET", events_of(writer)) as response:
                first = await anext(response.aiter_bytes())
                found = re.match(rb"retry: (\d+)\n: ", first)
                assert found
                waits.add(int(found[1]))
    assert all(1000 <= wait <= 2000 for wait in waits)
    assert len(waits) > 1


async def test_a_stream_resumes_at_every_boundary_byte_for_byte(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        writer = await world.answered(client, thread, [f"{n} " for n in range(20)])
        whole = pairs(await seen_by(client, events_of(writer)))
        for cut in range(len(whole) - 1):
            rest = pairs(await seen_by(client, events_of(writer), whole[cut][0]))
            assert whole[: cut + 1] + rest == whole
        by_query = pairs(await seen_by(client, f"{events_of(writer)}?cursor={whole[3][0]}"))
        assert by_query == whole[4:]
        async with watching(client, f"{events_of(writer)}?cursor={whole[3][0]}", last_event_id=whole[5][0]) as stream:
            assert pairs(await some(stream, 1)) == [whole[6]], "the header wins"
        over = await client.get(events_of(writer), headers={"last-event-id": whole[-1][0]})
        assert (over.status_code, over.content) == (204, b"")


async def test_the_end_is_known_from_the_log_before_it_is_recorded(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "x")
        await writer.complete()
        seen = await seen_by(client, events_of(writer))
        assert seen[-1].event == "run.completed"
        assert (await client.get(events_of(writer), headers={"last-event-id": seen[-1].id})).status_code == 204
        assert (await client.get(f"{events_of(writer)}?cursor=latest")).status_code == 204


@pytest.mark.parametrize("cursor", ["yesterday", "1", "1-", "-1", "1-2-3", "1.5-2", "١-٢", "9" * 50, "latest"])
async def test_cursors_that_are_none(world: World, cursor: str) -> None:
    async with world.client() as client:
        writer = await world.answered(client, await world.thread(client))
        for path in (events_of(writer), f"/v1/threads/{writer.state.thread_id}/events", "/v1/me/events"):
            response = await client.get(path, headers=[(b"last-event-id", cursor.encode())])
            assert problem(response) == (400, "cursor_invalid")


async def test_live_events_reach_every_viewer_once_and_in_order(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "before ")
        viewers = [asyncio.create_task(seen_by(client, events_of(writer))) for _ in range(30)]
        await world.until(lambda: world.streams.open == 30)
        for number in range(100):
            await writer.say(f"{number} ")
            if number % 10 == 0:
                await asyncio.sleep(0)
                viewers.append(asyncio.create_task(seen_by(client, events_of(writer))))
        assert world.hub.watched <= 1
        await writer.complete()
        all_seen = await asyncio.gather(*viewers)
        assert {tuple(pairs(seen)) for seen in all_seen} == {tuple(pairs(await seen_by(client, events_of(writer))))}
    await world.until(lambda: world.hub.watched == 0 and world.streams.open == 0)


async def test_a_thread_shows_all_its_runs_and_goes_on(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        path = f"/v1/threads/{thread}/events"
        first = await world.answered(client, thread)
        async with watching(client, path) as stream, watching(client, f"{path}?cursor=latest") as latest:
            past = await some(stream, first.state.sequence)
            second = await world.answered(client, thread, ["and ", "more"])
            live = await some(stream, second.state.sequence)
            assert pairs(await some(latest, second.state.sequence)) == pairs(live)
        assert pairs(past) == pairs(await seen_by(client, events_of(first)))
        assert pairs(live) == pairs(await seen_by(client, events_of(second)))
        for cut in (0, 4, len(past) - 1, len(past) + 2):
            async with watching(client, path, last_event_id=(past + live)[cut].id) as stream:
                rest = (past + live)[cut + 1 :]
                assert pairs(await some(stream, len(rest))) == pairs(rest)
    await world.until(lambda: world.hub.watched == 0)


async def test_only_what_is_new_of_a_running_run(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "old")
        async with watching(client, f"{events_of(writer)}?cursor=latest") as stream:
            await writer.say("new")
            assert (await anext(stream)).json["delta"] == "new"


async def test_a_viewer_who_leaves_is_cleaned_up_and_stops_the_follower(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "x")
        async with watching(client, events_of(writer)) as one:
            await some(one, 4)
            async with watching(client, events_of(writer)) as other:
                await some(other, 4)
                await world.until(lambda: world.hub.watched == 1 and world.streams.open == 2)
            await world.until(lambda: world.streams.open == 1)
            assert world.hub.watched == 1
            await writer.say("y")
            assert (await anext(one)).json["delta"] == "y"
        await world.until(lambda: world.streams.open == 0 and world.hub.watched == 0)
        assert not world.broker.streams["RUNS"].heard


class OneByteAtATime:
    """A client that opens a stream and does not read it until told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, world: World, client: httpx2.AsyncClient, path: str) -> "OneByteAtATime":
        port = int(world.base.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        authorization = client.headers["authorization"]
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n".encode())
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    async def rest(self) -> bytes:
        """Everything that is left, without the framing of chunks."""
        body = b""
        while True:
            size = int((await self.reader.readline()).strip(), 16)
            if not size:
                self.writer.close()
                return body
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)


async def test_a_slow_viewer_costs_no_memory_holds_nobody_up_and_misses_nothing(make_world: MakeWorld) -> None:
    world = await make_world(ring_bytes=16_384, piece_bytes=4096)
    async with world.client() as client:
        writer = await begun(world, client, "x")
        slow = await OneByteAtATime.open(world, client, events_of(writer))
        quick = asyncio.create_task(seen_by(client, events_of(writer)))
        await world.until(lambda: world.streams.open == 2 and world.hub.watched == 1)
        for number in range(6000):
            await writer.say(f"{number} " + "y" * 1000)
            if number % 20 == 0:
                await asyncio.sleep(0)
                assert world.hub.buffered < 64_000
        await writer.complete()
        seen = await quick
        assert shape(folded(writer, seen)) == shape(writer.state)
        body = await slow.rest()
    shown = re.findall(rb"id: (\S+)\nevent: (\S+)\ndata: (.*)\n\n", body)
    assert [(a.decode(), b.decode(), c.decode()) for a, b, c in shown] == pairs(seen)


async def test_viewers_of_a_small_ring_miss_nothing_at_any_pace(make_world: MakeWorld) -> None:
    world = await make_world(ring_bytes=4096, piece_bytes=1024)
    choose = random.Random(7)
    async with world.client() as client:
        writer = await begun(world, client, "x")

        async def viewer(delay: float) -> list[tuple[str, str, str]]:
            seen: list[Frame] = []
            cursor = ""
            while not seen or seen[-1].event != "run.completed":
                async with watching(client, events_of(writer), **({"last_event_id": cursor} if cursor else {})) as one:
                    stop = len(seen) + choose.randrange(5, 200)
                    async for frame in one:
                        seen.append(frame)
                        cursor = frame.id
                        if len(seen) % 10 == 0:
                            await asyncio.sleep(delay)
                        if len(seen) >= stop:
                            break
            return pairs(seen)

        viewers = [asyncio.create_task(viewer(choose.random() * 0.01)) for _ in range(10)]
        for number in range(800):
            await writer.say(f"{number} " + "y" * choose.randrange(200))
            if choose.random() < 0.3:
                await asyncio.sleep(choose.random() * 0.003)
        await writer.complete()
        all_seen = await asyncio.gather(*viewers)
        whole = pairs(await seen_by(client, events_of(writer)))
    assert all(seen == whole for seen in all_seen)
    await world.until(lambda: world.hub.watched == 0)


async def test_an_idle_stream_beats(make_world: MakeWorld) -> None:
    world = await make_world(heartbeat=0.05)
    async with world.client() as client:
        writer = await begun(world, client, "x")
        for path in (events_of(writer), f"/v1/threads/{writer.state.thread_id}/events", "/v1/me/events"):
            body = b""
            async with client.stream("GET", path) as response:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if body.count(b"\n: \n\n") >= 3:
                        break


async def test_draining_sends_clients_elsewhere_with_their_place(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "one ")
        thread = f"/v1/threads/{writer.state.thread_id}/events"
        async with (
            watching(client, events_of(writer)) as run,
            watching(client, thread) as all_runs,
            watching(client, "/v1/me/events") as feed,
        ):
            past = await some(run, 4)
            await some(all_runs, 4)
            await world.until(lambda: world.streams.open == 3)
            world.streams.drain()
            for stream, cursor in ((run, past[-1].id), (all_runs, past[-1].id), (feed, "0-0")):
                rest = [frame async for frame in stream]
                assert [(frame.event, frame.json) for frame in rest] == [
                    ("end", {"reason": "draining", "cursor": cursor})
                ]
                assert rest[0].id == "", "the end is no event of the log: the client keeps its place"
        assert problem(await client.get(events_of(writer))) == (503, "unavailable")


async def test_a_stream_ends_when_the_token_does(world: World) -> None:
    import time

    async with world.client() as client, world.client(exp=int(time.time()) - 58) as late:
        writer = await begun(world, client, "x")
        async with watching(late, events_of(writer)) as stream:
            seen = [frame async for frame in stream]
        assert seen[-1].json == {"reason": "token_expired", "cursor": seen[-2].id}
        assert problem(await late.get(events_of(writer))) == (401, "token_expired")


async def test_too_many_streams_of_one_user(make_world: MakeWorld) -> None:
    world = await make_world(streams_per_user=2)
    async with world.client() as client, world.client("bob") as other:
        async with watching(client, "/v1/me/events"), watching(client, "/v1/me/events"):
            refused = await client.get("/v1/me/events")
            assert problem(refused) == (429, "limit_reached")
            assert refused.headers["retry-after"]
            async with watching(other, "/v1/me/events"):
                pass
        await world.until(lambda: world.streams.open == 0)
        async with watching(client, "/v1/me/events"):
            pass


async def test_a_run_whose_log_has_expired_is_shown_from_its_message(world: World) -> None:
    async with world.client() as client:
        writer = await world.answered(client, await world.thread(client))
        whole = await seen_by(client, events_of(writer))
        world.forget_log(writer.state.run_id)
        fresh = await seen_by(client, events_of(writer))
        assert shape(folded(writer, fresh)) == shape(writer.state)
        assert [frame.event for frame in fresh] == ["run.started", "text.delta", "usage", "run.completed"]
        for cut in range(len(whole) - 1):
            rest = await seen_by(client, events_of(writer), whole[cut].id)
            assert rest[0].json["from_sequence"] == 1
            assert shows_the_stored(writer, whole[: cut + 1] + rest)
            # Nor is one taken for having seen the end who was cut off again in what was told anew, whatever its numbers.
            again = await seen_by(client, events_of(writer), rest[0].id)
            assert shows_the_stored(writer, [*whole[: cut + 1], rest[0], *again])
        # A viewer of the stored message who is cut off starts over, and one who has its end is told so.
        for cut in range(len(fresh) - 1):
            rest = await seen_by(client, events_of(writer), fresh[cut].id)
            assert shows_the_stored(writer, fresh[: cut + 1] + rest)
        for end in (fresh[-1].id, whole[-1].id):
            assert (await client.get(events_of(writer), headers={"last-event-id": end})).status_code == 204
        log = (await client.get(f"/v1/runs/{writer.state.run_id}/log")).json()
        assert [event["type"] for event in log["items"]] == [frame.event for frame in fresh]
        verified = (await client.get(f"/v1/runs/{writer.state.run_id}/verify")).json()
        assert verified["equal"] is None
        assert "expired" in verified["reason"]


async def test_a_long_answer_that_ended_is_whole_at_once_and_by_cursor_event_by_event(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        writer = await world.answered(client, thread, [f"{number} wörld " for number in range(LONG)])
        short = await world.answered(client, thread)
        fresh = await seen_by(client, events_of(writer))
        assert [frame.event for frame in fresh] == ["run.started", "text.delta", "usage", "run.completed"]
        assert shape(folded(writer, fresh)) == shape(writer.state)
        every = await seen_by(client, events_of(writer), str(START))
        assert [frame.json["sequence"] for frame in every] == list(range(1, writer.state.sequence + 1))
        assert shape(folded(writer, every)) == shape(writer.state)
        assert pairs(await seen_by(client, f"{events_of(writer)}?cursor={START}")) == pairs(every)
        assert len(await seen_by(client, events_of(short))) == short.state.sequence
        # Whoever was cut off in the one goes on in it, and from the other's cursors in the other.
        for cut in range(len(fresh) - 1):
            rest = await seen_by(client, events_of(writer), fresh[cut].id)
            assert shows_the_stored(writer, fresh[: cut + 1] + rest)
        assert pairs(await seen_by(client, events_of(writer), every[LONG // 2].id)) == pairs(every[LONG // 2 + 1 :])
        for end in (fresh[-1].id, every[-1].id):
            assert (await client.get(events_of(writer), headers={"last-event-id": end})).status_code == 204


async def test_a_log_that_lost_its_beginning_or_its_end_is_not_taken_for_whole(world: World) -> None:
    async with world.client() as client:
        writer = await world.answered(client, await world.thread(client))
        whole = await seen_by(client, events_of(writer))
        world.forget_log(writer.state.run_id, up_to=parse_cursor(whole[3].id).stream_sequence)
        fresh = await seen_by(client, events_of(writer))
        assert shape(folded(writer, fresh)) == shape(writer.state)
        later = await seen_by(client, events_of(writer), whole[4].id)
        assert pairs(later) == pairs(whole[5:]), "where the place is still there, the log goes on from it"
        cut_off = await begun(world, client, "never ended")
        cut_off.state.status, cut_off.state.error_code = "error", "orphaned"
        world.conversation.record(cut_off.state)
        seen = await seen_by(client, events_of(cut_off))
        assert seen[-1].event == "run.failed"
        assert seen[-1].json["code"] == "orphaned"


async def test_a_running_run_whose_log_lost_its_beginning_goes_on_from_its_snapshot(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "one ", "two ")
        await writer.snapshot()
        lost = writer.last
        await writer.say("three ")
        world.forget_log_keeping_snapshot(writer.state.run_id, lost)
        async with watching(client, events_of(writer)) as stream:
            first = await some(stream, 2)
            await writer.say("four")
            live = await anext(stream)
        assert first[1].json["delta"] == "one two three "
        assert live.json["delta"] == "four"


async def test_a_rebuilt_log_takes_back_what_the_viewer_had(world: World) -> None:
    async with world.client() as client:
        writer = await begun(world, client, "x")
        async with watching(client, events_of(writer), last_event_id="999-7") as stream:
            seen = await some(stream, 5)
        assert (seen[0].event, seen[0].json["from_sequence"], seen[0].json["sequence"]) == ("text.retracted", 1, 8)
        assert seen[0].id == ""
        assert seen[1].event == "run.started"


async def test_a_threads_expired_runs_are_shown_from_their_messages(world: World) -> None:
    async with world.client() as client:
        thread = await world.thread(client)
        path = f"/v1/threads/{thread}/events"
        first = await world.answered(client, thread, ["first"])
        second = await world.answered(client, thread, ["second"])
        whole_second = pairs(await seen_by(client, events_of(second)))
        gone = (await seen_by(client, events_of(first)))[4].id
        world.forget_log(first.state.run_id)
        async with watching(client, path) as stream:
            stored = await some(stream, 4)
            rest = await some(stream, len(whole_second))
            third = await world.answered(client, thread, ["third"])
            live = await some(stream, third.state.sequence)
        assert shape(folded(first, stored)) == shape(first.state)
        assert pairs(rest) == whole_second
        assert shape(folded(third, live)) == shape(third.state)
        # A cursor that has expired: everything again, what the viewer may have had taken back first.
        async with watching(client, path, last_event_id=gone) as stream:
            again: list[Frame] = []
            while not again or again[-1].id != live[-1].id:
                again.append(await anext(stream))
        for writer in (first, second, third):
            mine = [frame for frame in again if frame.json["run_id"] == writer.state.run_id]
            assert mine[0].json.get("from_sequence") == 1
            assert "".join(f.json["delta"] for f in mine if f.event == "text.delta") == writer.state.content


async def test_the_feed_keeps_what_a_device_missed(world: World) -> None:
    async with world.client() as client, world.client("bob") as other:
        for number in range(5):
            await world.feed("ada", preview=str(number))
        await world.feed("bob", preview="bob's")
        async with watching(client, "/v1/me/events") as stream:
            past = await some(stream, 5)
            async with watching(client, "/v1/me/events?cursor=latest") as latest:
                await world.feed("ada", type="run.failed", code="deadline")
                live = await anext(stream)
                assert (await anext(latest)).data == live.data
        assert [frame.json["preview"] for frame in past] == list("01234")
        assert (live.event, live.json["code"]) == ("run.failed", "deadline")
        async with watching(client, "/v1/me/events", last_event_id=past[2].id) as stream:
            assert pairs(await some(stream, 3)) == pairs([*past[3:], live])
        async with watching(other, "/v1/me/events") as stream:
            assert (await anext(stream)).json["preview"] == "bob's"


async def test_a_long_feed_is_read_at_the_clients_pace(make_world: MakeWorld) -> None:
    world = await make_world(piece_bytes=1024)
    async with world.client() as client:
        for number in range(2000):
            await world.feed("ada", preview=str(number))
        async with watching(client, "/v1/me/events") as stream:
            assert [frame.json["preview"] for frame in await some(stream, 2000)] == [str(n) for n in range(2000)]


async def test_a_deleted_thread_is_not_watched_by_reconnecting(world: World) -> None:
    async with world.client() as client:
        writer = await world.answered(client, await world.thread(client))
        thread = writer.state.thread_id
        await client.delete(f"/v1/threads/{thread}")
        await world.bus.run_log.purge_thread(thread)
        assert problem(await client.get(f"/v1/threads/{thread}/events")) == (404, "thread_not_found")
        assert [entry async for entry in world.bus.run_log.read(thread_events_subject(thread))] == []


async def test_stopping_the_server_ends_open_streams_within_its_grace(make_world: MakeWorld) -> None:
    world = await make_world()
    async with world.client() as client:
        writer = await begun(world, client, "x")
        async with watching(client, events_of(writer)) as stream:
            await some(stream, 4)
            world.streams.drain()
            world.server.stop()
            assert [frame.event async for frame in stream] == ["end"]
            await asyncio.wait_for(asyncio.shield(world.serving), 10)
