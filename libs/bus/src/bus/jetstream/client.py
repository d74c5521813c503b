"""nats-py's client without what it does for each message that this project has no use for: messages go to their callback in the
turn that read them, headers are read when somebody asks, and what one turn has to send is one write."""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import BadSubjectError, MaxPayloadError

_GAP: Final = re.compile(r"\s")
MOST_IN_A_TURN: Final = 256 * 1024
"""Bytes that wait for the end of a turn; one that never ends must not gather without bound."""
HEAD_LINE: Final = len(b"NATS/1.0")
NO_STATUS: Final = b"NATS/1.0\r\n"
"""How the headers of a message begin that is no answer by status alone."""
STATUS_DIGITS: Final = 3


class Message:
    """What a subscription heard. `headers` is None where there are none; `raw_headers` is their block as it came."""

    __slots__ = ("_headers", "_read", "data", "raw_headers", "reply", "subject")

    def __init__(self, subject: str, reply: str, data: bytes, raw_headers: bytes) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self.raw_headers = raw_headers
        self._read = False
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> dict[str, str] | None:
        """By name; `Status` and `Description` are those of the first line, as the server says them without a body."""
        if not self._read:
            self._read = True
            self._headers = read_headers(self.raw_headers) or None
        return self._headers


Heard = Callable[[Message], None]


class NatsClient(Client):
    """What arrives is given to `heard` where nats-py would put it into a queue for a task of the subscription's own (about
    12 µs a message). What is sent is written once a turn: a write of its own for each message wakes the server each time, and
    uvloop does not join them."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[int, Heard] = {}
        self._unheard: asyncio.Future[Any] | None = None
        self._writes_soon = False
        self._is_held_back = False

    async def hear(self, subject: str, heard: Heard) -> Subscription:
        """Subscribe. `heard` runs in the reader's turn, in order: it may only put the message somewhere. Unlike nats-py's
        own subscriptions these drop nothing: a process that is too slow is cut off by the server, which a reconnect heals."""
        # The number that nats-py is about to give: a message may come before `subscribe` returns.
        number = self._sid + 1
        self._heard[number] = heard
        if self._unheard is None:
            self._unheard = asyncio.get_running_loop().create_future()
        try:
            # One that waits for a single answer has no task; a gateway has a subscription for each of its devices.
            subscription = await self.subscribe(subject, future=self._unheard)
        except BaseException:
            self._remove_sub(number)
            raise
        subscription._pending_queue = None  # type: ignore[assignment]  # 3 KiB for messages that never come there
        return subscription

    @property
    def in_cluster(self) -> bool:
        """The server that this is connected to, or was last, is one of a cluster."""
        return "cluster" in self._server_info

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        # A subscription ends here, and what it heard with must end with it: a gateway has one for each answer ever watched.
        self._heard.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        heard = self._heard.get(sid)
        if heard is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        try:
            heard(Message(subject.decode(), reply.decode() if reply else "", data, headers or b""))
        except Exception as error:  # noqa: BLE001  # one callback's fault must not end the reading for all
            await self._error_cb(error)

    def put(self, subject: str, data: bytes, *, reply: str = "", headers: bytes = b"") -> None:
        """Send with this turn's write. `headers` are those of `write_headers`. Whoever sends much awaits `room` beside it.
        Raises MaxPayloadError, BadSubjectError. While there is no connection it waits for the next one."""
        size = len(headers) + len(data)
        if size > self._max_payload:
            raise MaxPayloadError
        if not subject or _GAP.search(subject) or _GAP.search(reply):
            raise BadSubjectError
        if headers:
            command = f"HPUB {subject} {reply} {len(headers)} {size}\r\n".encode()
        else:
            command = f"PUB {subject} {reply} {size}\r\n".encode()
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        self._pending.append(b"%b%b%b\r\n" % (command, headers, data))
        self._pending_data_size += len(command) + size + 2
        self._write_soon()

    async def room(self) -> None:
        """Wait while the socket takes no more. A connection that is found lost here is nats-py's to mend, and no error of whoever
        waits: what was sent may have arrived or not, as always."""
        if self._pending_data_size > MOST_IN_A_TURN:
            self._write()
        transport = self._transport
        if not self._is_held_back or not self.is_connected or transport is None:
            return
        try:
            await transport.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it unannotated
        except OSError as error:
            await self._error_cb(error)
            await self._process_op_err(error)
        self._is_held_back = False

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        if force_flush or not self.is_connected:
            return await super()._flush_pending(force_flush)
        self._write_soon()
        await self.room()
        return None

    async def _send_ping(self, future: asyncio.Future[Any] | None = None) -> None:
        # nats-py writes it past what waits, and whoever asks for the answer means that everything before it has arrived.
        self._write()
        await super()._send_ping(future)

    def _write_soon(self) -> None:
        if not self._writes_soon:
            self._writes_soon = True
            asyncio.get_running_loop().call_soon(self._write)

    def _write(self) -> None:
        """All that this turn had to send. Without a connection it stays for the next one."""
        self._writes_soon = False
        transport = self._transport
        if not self._pending or transport is None or not self.is_connected:
            return
        pending, self._pending, self._pending_data_size = self._pending, [], 0
        try:
            transport.write(pending[0] if len(pending) == 1 else b"".join(pending))
        except (OSError, RuntimeError):
            # Closed in this very turn: the reading task is about to see it, and whoever waits for an answer is told then.
            return
        self._is_held_back = True


def write_headers(headers: Mapping[str, str]) -> bytes:
    """The block of a message's headers (the NATS client protocol, HPUB). Raises ValueError where one holds a line break."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\r") != len(headers) or lines.count("\n") != len(headers):
        raise ValueError("a header may not hold a line break")
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def read_headers(block: bytes) -> dict[str, str]:
    """The headers of a message, with what its first line says after `NATS/1.0` as Status and Description. What is no header
    is left out. Source: the NATS client protocol, HMSG; ADR-4 of nats-architecture-and-design."""
    headers: dict[str, str] = {}
    first, _, rest = block.decode("utf-8", "replace").partition("\r\n")
    said = first[HEAD_LINE:].strip()
    if said:
        status, _, description = said.partition(" ")
        if len(status) == STATUS_DIGITS and status.isdigit():
            headers["Status"] = status
        if description:
            headers["Description"] = description.strip()
    for line in rest.split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.strip()
        if colon and name.isascii() and " " not in name and "\t" not in name:
            headers[name] = value.strip()
    return headers


def server_header(block: bytes, name: bytes) -> bytes | None:
    """One header that the server has put behind those of the message as it was sent, without reading the others: of several by
    that name the last counts, as in `read_headers`. `name` is as it stands there, `\\r\\nNats-Sequence: `. None where there is none."""
    at = block.rfind(name)
    if at < 0:
        return None
    begin = at + len(name)
    return block[begin : block.index(b"\r", begin)]
