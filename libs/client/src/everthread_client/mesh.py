"""An internal service's hold on Everthread over NATS: append to threads, start runs, follow them, offer tools.

async with await Mesh.connect("nats://app:…@127.0.0.1:4222", service="orders") as mesh:
    await mesh.append(thread_id, "Your parcel has left Rome.", user_id=user_id, event="order.shipped")

    @mesh.tool(side_effects=False)
    async def find_order(number: str) -> dict[str, str]:
        '''Where an order is, by its number.'''
        ...

    await mesh.serve()
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
import nats.micro
from contracts.commands import AppendOutcome, AppendToThread
from contracts.events import RunEvent
from contracts.ids import RUN, THREAD, USER, check_id
from contracts.subjects import TOOLS
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.micro.request import Request
from nats.micro.service import Service

from everthread_client.appending import Appender
from everthread_client.errors import UnreachableError
from everthread_client.mesh_log import follow_log
from everthread_client.offering import Offer, ToolCall, ToolFailedError, ToolFunction, offer_of

F = TypeVar("F", bound=ToolFunction)

FAILED: Final = "500"
REFUSED: Final = "400"
BUSY: Final = "503"
"""Codes of the micro protocol's error answers; the last one says that the same call may succeed a little later."""
PROGRESS: Final = {"Everthread-Progress": "1"}


class Mesh:
    """One connection. `service` is the name under which it appends and offers tools: letters, digits, `_` and `-`."""

    def __init__(self, client: Client, service: str, version: str) -> None:
        self._client = client
        self._service = service
        self._version = version
        self._appender = Appender(client)
        self._offers: list[Offer] = []

    @classmethod
    async def connect(cls, url: str, *, service: str, version: str = "1.0.0") -> Self:
        """Connect to `nats://user:password@host:port` (the user `app` may do what is here). Raises UnreachableError."""
        user = unquote(urlsplit(url).username or "")
        prefix = f"_INBOX_{user}" if user else "_INBOX"
        client = Client()
        try:
            await client.connect(
                url,
                name=service,
                inbox_prefix=prefix.encode(),
                max_reconnect_attempts=1,
                reconnect_time_wait=1,
                allow_reconnect=False,
            )
        except (NatsError, OSError) as error:
            raise UnreachableError(f"NATS does not answer at {urlsplit(url).hostname}: {error}.") from error
        # Who starts wants to know at once that nothing is there; who has started comes back however long that takes.
        client.options |= {"allow_reconnect": True, "max_reconnect_attempts": -1}
        made = cls(client, service, version)
        await made._appender.start()
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let what is under way finish and close the connection. Runs go on without us."""
        if not self._client.is_closed:
            await self._client.drain()

    async def append(
        self,
        thread_id: str,
        text: str,
        *,
        user_id: str,
        event: str = "",
        data: Any = None,
        key: str | None = None,
        patience: float = 30.0,
    ) -> AppendOutcome:
        """Put what happened into a thread that the user is in: people see it there, and the model knows it from the next answer
        on. Stored once per `key`, however often it is tried. Raises RejectedError with the reason; UnreachableError after
        `patience` seconds, and then the same with the same key is safe."""
        command = AppendToThread(
            user_id=check_id(USER, user_id), service=self._service, text=text, event=event, data=data
        )
        return await self._append(thread_id, command, key, patience)

    async def ask(
        self,
        thread_id: str,
        text: str,
        *,
        user_id: str,
        model: str = "",
        key: str | None = None,
        patience: float = 30.0,
    ) -> AppendOutcome:
        """Start a run: `text` is a message of the user's, and `run_id` answers it. Otherwise as `append`."""
        command = AppendToThread(
            user_id=check_id(USER, user_id), service=self._service, text=text, answer=True, model=model
        )
        return await self._append(thread_id, command, key, patience)

    async def _append(self, thread_id: str, command: AppendToThread, key: str | None, patience: float) -> AppendOutcome:
        check_id(THREAD, thread_id)
        return await self._appender.append(thread_id, command, key or secrets.token_hex(16), patience=patience)

    async def follow(
        self, thread_id: str, run_id: str, *, after: int = 0, patience: float = 60.0
    ) -> AsyncGenerator[RunEvent, None]:
        """The run's events with a sequence above `after`, in order, each once, up to its terminal event. Works as long as the
        log is kept. Raises UnreachableError. Whoever stops before the end closes it (`contextlib.aclosing`)."""
        check_id(RUN, run_id)
        log = follow_log(self._client, thread_id, run_id, after=after, patience=patience)
        async with aclosing(log) as events:
            async for event in events:
                yield event

    def tool(
        self,
        *,
        name: str = "",
        description: str = "",
        side_effects: bool = True,
        approval: bool = False,
        timeout: float = 30.0,
        retries: int = 0,
        roles: Sequence[str] = (),
    ) -> Callable[[F], F]:
        """Offer an async function as a tool: its parameters' types become the JSON schema, its docstring tells the model what
        it does. `side_effects`: calling it changes something; `approval`: a person must agree to each call; `timeout` in
        seconds; `retries`: how often a call may be repeated (only if its `ToolCall.key` does nothing twice); `roles`: who may use
        it, everybody if empty. Raises TypeError."""

        def offer(function: F) -> F:
            self._offers.append(
                offer_of(
                    function,
                    name=name,
                    description=description,
                    side_effects=side_effects,
                    approval=approval,
                    timeout=timeout,
                    retries=retries,
                    roles=roles,
                )
            )
            return function

        return offer

    async def register(self) -> Service:
        """Answer for the tools from now on, until the connection is closed or the service is stopped."""
        service = await nats.micro.add_service(self._client, name=self._service, version=self._version)
        for offer in self._offers:
            await service.add_endpoint(
                name=offer.name,
                subject=f"{TOOLS}{self._service}.{offer.name}",
                handler=_handler(offer),
                metadata=offer.metadata,
            )
        return service

    async def serve(self) -> None:
        """`register`, then wait until cancelled."""
        service = await self.register()
        try:
            await asyncio.Event().wait()
        finally:
            await service.stop()


def _handler(offer: Offer) -> Callable[[Request], Any]:
    calls: set[asyncio.Task[None]] = set()

    async def handle(request: Request) -> None:
        # A task for each call: NATS hands over one message after the other, and a slow call must not hold up the next.
        call = asyncio.create_task(_answer(offer, request))
        calls.add(call)
        call.add_done_callback(calls.discard)

    return handle


async def _answer(offer: Offer, request: Request) -> None:
    headers = request.headers or {}

    async def progress(value: Any) -> None:
        await request.respond(msgspec.json.encode(value), headers=PROGRESS)

    about = ToolCall(
        key=headers.get("Everthread-Idempotency-Key", ""),
        run_id=headers.get("Everthread-Run", ""),
        thread_id=headers.get("Everthread-Thread", ""),
        user_id=headers.get("Everthread-User", ""),
        progress=progress,
    )
    try:
        result = await offer.call(request.data, about)
    except ToolFailedError as error:
        await request.respond_error(BUSY if error.retryable else REFUSED, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a tool raises is its answer; the caller must not wait for nothing
        await request.respond_error(FAILED, f"{offer.name} failed: {type(error).__name__}")
    else:
        await request.respond(result)
