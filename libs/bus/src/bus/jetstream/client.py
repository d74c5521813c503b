"""nats-py's client without what it does for each message that this project has no use for: messages go to their callback in the
turn that read them, headers are read when somebody asks, and what is sent goes to the transport at once."""

from collections.abc import Callable
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.subscription import Subscription

HEAD_LINE: Final = len(b"NATS/1.0")
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
    12 µs a message), and what is sent needs no turn of a flushing task: uvloop joins the writes of one turn by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: dict[int, Heard] = {}

    async def hear(self, subject: str, heard: Heard) -> Subscription:
        """Subscribe. `heard` runs in the reader's turn, in order: it may only put the message somewhere. Unlike nats-py's
        own subscriptions these drop nothing: a process that is too slow is cut off by the server, which a reconnect heals."""
        # The number that nats-py is about to give: a message may come before `subscribe` returns.
        number = self._sid + 1
        self._heard[number] = heard
        try:
            return await self.subscribe(subject, cb=_never)
        except BaseException:
            self._remove_sub(number)
            raise

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

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        transport = self._transport
        if not self.is_connected or transport is None:
            return await super()._flush_pending(force_flush)
        pending, self._pending, self._pending_data_size = self._pending, [], 0
        try:
            if pending:
                transport.write(pending[0] if len(pending) == 1 else b"".join(pending))
            # Waits only while the socket takes no more.
            await transport.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it unannotated
        except OSError as error:
            await self._error_cb(error)
            await self._process_op_err(error)
        return None


async def _never(_: object) -> None:
    raise AssertionError("a message that was for `heard`")


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
