"""What this project puts in the place of nats-py's own sending: one write a turn, in order, refused where it would break the
protocol."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
from bus.jetstream.client import Message, NatsClient, write_headers
from nats.aio.transport import TcpTransport
from nats.errors import BadSubjectError, MaxPayloadError

from tests.servers import NatsServer


class CountingClient(NatsClient):
    """Counts its writes."""

    writes = 0

    def _write(self) -> None:
        self.writes += bool(self._pending)
        super()._write()


@asynccontextmanager
async def connected(server: NatsServer) -> AsyncIterator[CountingClient]:
    client = CountingClient()
    await client.connect(server.url())
    try:
        yield client
    finally:
        await client.close()


async def test_what_one_turn_puts_is_one_write_and_arrives_in_order(nats: NatsServer) -> None:
    async with connected(nats) as sender, connected(nats) as hearer:
        heard: list[Message] = []
        whole = asyncio.Event()

        def hear(message: Message) -> None:
            heard.append(message)
            if len(heard) == 100:
                whole.set()

        await hearer.hear("one.turn", hear)
        # The answer to a ping says that the subscription, which waited for this turn's write, is at the server.
        await hearer.flush()
        before = sender.writes
        for number in range(100):
            sender.put("one.turn", b"%d" % number, reply="answers", headers=write_headers({"Number": str(number)}))
        await asyncio.wait_for(whole.wait(), 20)
        assert sender.writes == before + 1
        assert [(message.data, message.reply, message.headers) for message in heard] == [
            (b"%d" % number, "answers", {"Number": str(number)}) for number in range(100)
        ]


async def test_what_would_break_the_protocol_is_refused_and_the_rest_goes_on(nats: NatsServer) -> None:
    async with connected(nats) as client:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        await client.hear("still.there", heard.put_nowait)
        for subject in ("", "two words", "line\r\nPUB other 0", "tab\t"):
            with pytest.raises(BadSubjectError):
                client.put(subject, b"x")
        with pytest.raises(BadSubjectError):
            client.put("still.there", b"x", reply="two words")
        with pytest.raises(MaxPayloadError):
            client.put("still.there", bytes(client.max_payload + 1))
        with pytest.raises(ValueError, match="line break"):
            write_headers({"Name": "value\r\nOther: value"})
        client.put("still.there", b"without headers")
        message = await asyncio.wait_for(heard.get(), 20)
        assert (message.data, message.headers, message.reply) == (b"without headers", None, "")


async def test_a_sender_that_is_too_fast_is_held_back_and_loses_nothing(nats: NatsServer) -> None:
    async with connected(nats) as sender, connected(nats) as hearer:
        count, piece = 400, bytes(256 * 1024)
        arrived = 0
        heard = asyncio.Event()

        def hear(message: Message) -> None:
            nonlocal arrived
            assert message.data == piece
            arrived += 1
            heard.set()

        async def until(number: int) -> None:
            async with asyncio.timeout(60):
                while arrived < number:
                    heard.clear()
                    await heard.wait()

        await hearer.hear("much", hear)
        await hearer.flush()
        most = 0
        for number in range(count):
            # The server keeps 64 MB for a hearer, and cuts off one that is further behind.
            await until(number - 160)
            sender.put("much", piece)
            await sender.room()
            most = max(most, sender.pending_data_size)
        await until(count)
        # What waits is in the socket's buffer, not in ours: so much was never here at once.
        assert most < 16 * 1024 * 1024


async def test_whoever_waits_for_room_is_not_told_of_a_lost_connection(nats: NatsServer) -> None:
    async with connected(nats) as client:
        # Half of what it takes to see the loss: the socket is gone, and the task that reads it has not had its turn.
        tcp = client._transport
        assert isinstance(tcp, TcpTransport)
        assert tcp._io_writer is not None
        transport = cast(asyncio.Transport, tcp._io_writer.transport)
        transport.pause_reading()
        client.put("lost", b"x")
        await asyncio.sleep(0)
        transport.abort()
        await asyncio.sleep(0)
        for _ in range(20):
            client.put("lost", b"x")
            await client.room()
            await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while not client.is_connected:
                await asyncio.sleep(0.01)
        await client.flush()
