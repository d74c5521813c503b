"""What an authenticated caller does on a WebSocket: subscriptions, each with a turn of its own, and calls."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import structlog
from contracts.codes import Code
from contracts.cursor import START
from runtime import telemetry
from starlette.types import Scope

from gateway.domain import socket_frames as frames
from gateway.domain.dismissals import dismissal
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.domain.records import SendOptions
from gateway.entrypoints import views
from gateway.entrypoints.connections import Farewell
from gateway.entrypoints.refusing import fault, refusal_of
from gateway.entrypoints.routes import run_id_of, thread_id_of
from gateway.entrypoints.schemas import check_value
from gateway.entrypoints.wiring import Wiring
from gateway.handlers.answer_wait import decide_approval, provide_input
from gateway.handlers.cancel_run import cancel_run
from gateway.handlers.send_message import MessageToSend, send_message
from gateway.handlers.steer_run import steer_run
from gateway.handlers.watch import Attachment, check_place, watch_feed, watch_run, watch_thread
from gateway.handlers.watch_presence import with_presence
from gateway.ports import Viewer

logger = structlog.get_logger()

ATTACH_SECONDS: Final = 15.0

Say = Callable[[list[str]], Awaitable[None]]


class GoneError(Exception):
    """The client has left: nothing can be said any more."""


class Session:
    """One caller on one connection. `say` sends messages together and waits while the socket is full: until it returns, the
    subscription that called it takes nothing more, so each holds one piece at most. `scope` names the connection."""

    def __init__(self, wiring: Wiring, principal: Principal, say: Say, scope: Scope) -> None:
        self._wiring: Final = wiring
        self._principal: Final = principal
        self._say: Final = say
        self._scope: Final = scope
        self._subscriptions: Final[dict[str, asyncio.Task[None]]] = {}
        self._tracer: Final = telemetry.tracer("gateway.websocket")

    @property
    def count(self) -> int:
        """How many subscriptions are open."""
        return len(self._subscriptions)

    async def do(self, text: str) -> None:
        """Do what one message says, and answer it. Raises GoneError."""
        try:
            # Characters, of at least a byte each: what matters is that nobody sends without a limit.
            if len(text) > self._wiring.body_bytes:
                raise Refusal(Code.BODY_TOO_LARGE, f"The message is larger than {self._wiring.body_bytes} bytes.")
            command = frames.command_of(text)
            with self._tracer.start_as_current_span(f"WS {type(command).__name__.lower()}"):
                await self._do(command)
        except GoneError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is becomes an error message
            await self._refused(error, frames.id_of(text))

    async def close(self) -> None:
        """End all subscriptions."""
        for task in (tasks := list(self._subscriptions.values())):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _refused(self, error: Exception, name: str) -> None:
        refusal = refusal_of(error)
        if refusal is None:
            logger.error("websocket.command_failed", exc_info=error)
        await self._say([frames.error(refusal or fault(), name)])

    async def _do(self, command: frames.Command) -> None:
        match command:
            case frames.Subscribe():
                await self._subscribe(command)
            case frames.Unsubscribe(id=name):
                await self._unsubscribe(name)
            case frames.Send():
                await self._send(command)
            case frames.Cancel(id=name, run=run):
                run_id, wiring = run_id_of(run), self._wiring
                await cancel_run(
                    wiring.conversation, wiring.log, self._principal.user_id, run_id, now=datetime.now(UTC)
                )
                await self._say([frames.answer("cancelling", name, run_id=run_id)])
            case frames.Input(id=name, run=run):
                run_id = run_id_of(run)
                wait_id = await self._input(command, run_id)
                await self._say([frames.answer("answered", name, run_id=run_id, wait_id=wait_id)])
            case frames.Approve(id=name, run=run):
                run_id = run_id_of(run)
                wait_id = await self._approve(command, run_id)
                await self._say([frames.answer("answered", name, run_id=run_id, wait_id=wait_id)])
            case frames.Steer():
                await self._steer(command)
            case frames.Auth():
                raise Refusal(Code.BODY_INVALID, "This connection is authenticated already; open another one.")

    async def _input(self, command: frames.Input, run_id: str) -> str:
        wiring = self._wiring
        return await provide_input(
            wiring.conversation,
            wiring.log,
            self._principal.user_id,
            run_id,
            wait_id=command.wait_id,
            value=command.value,
            check=check_value,
            now=datetime.now(UTC),
        )

    async def _approve(self, command: frames.Approve, run_id: str) -> str:
        wiring = self._wiring
        return await decide_approval(
            wiring.conversation,
            wiring.log,
            self._principal.user_id,
            run_id,
            wait_id=command.wait_id,
            approved=command.approved,
            note=command.note,
            now=datetime.now(UTC),
        )

    async def _steer(self, command: frames.Steer) -> None:
        caller, wiring = self._principal, self._wiring
        accepted = await steer_run(
            wiring.conversation,
            wiring.models,
            caller.user_id,
            run_id_of(command.run),
            command.content,
            roles=(caller.role,),
            idempotency_key=command.idempotency_key,
        )
        await self._say(
            [frames.answer("accepted", command.id, **views.accepted_view(accepted, str(START)).model_dump())]
        )

    async def _subscribe(self, command: frames.Subscribe) -> None:
        name, user_id = command.id, self._principal.user_id
        if name in self._subscriptions:
            raise Refusal(Code.BODY_INVALID, f"The subscription {name!r} exists already; unsubscribe it first.")
        if not self._wiring.streams.enter(user_id):
            raise Refusal(Code.LIMIT_REACHED, "Too many streams are open; unsubscribe one first.", retry_after=5)
        viewer: Viewer | None = None
        since = self._wiring.attendance.clock()
        try:
            async with asyncio.timeout(ATTACH_SECONDS):
                attachment = await self._attach(command)
            viewer = None if attachment is None else attachment.viewer
            await self._say([frames.answer("subscribed", name)])
        except BaseException:
            self._wiring.streams.leave(user_id)
            if viewer is not None:
                await viewer.close()
            raise
        prefix = b"" if attachment is None else attachment.prefix
        thread_id = "" if attachment is None else attachment.thread_id
        # Begun at once up to its first wait, so that even a subscription which is cancelled right away cleans up.
        begun = asyncio.Event()
        self._subscriptions[name] = asyncio.create_task(
            self._pump(name, prefix, viewer, thread_id, since, begun), name=f"pump {name}"
        )
        await begun.wait()

    async def _attach(self, command: frames.Subscribe) -> Attachment | None:
        place = check_place(None, command.cursor or None)
        user_id, behind = self._principal.user_id, self._wiring
        if command.feed:
            return await watch_feed(behind.viewers, user_id, place)
        if command.thread:
            thread_id = thread_id_of(command.thread)
            attachment = await watch_thread(behind.conversation, behind.log, behind.viewers, user_id, thread_id, place)
            return with_presence(behind.presences, attachment)
        run_id = run_id_of(command.run)
        return await watch_run(behind.conversation, behind.log, behind.viewers, user_id, run_id, place)

    async def _pump(
        self, name: str, prefix: bytes, viewer: Viewer | None, thread_id: str, since: float, begun: asyncio.Event
    ) -> None:
        seat = None
        # Of the whole connection: of what a client does not read nothing can be taken out.
        farewell = Farewell(self._scope, goes_on=True)

        def dismiss(_: str) -> None:
            farewell.begin()
            if viewer is not None:
                viewer.wake()

        if viewer is not None and thread_id:
            seat = self._wiring.attendance.take(thread_id, self._principal.user_id, dismiss, since=since)
        try:
            begun.set()
            if prefix:
                await self._say(frames.events(name, prefix))
            while viewer is not None and not viewer.ended:
                if seat is not None and seat.ended:
                    await self._say([frames.error(dismissal(seat.ended), name)])
                    break
                piece = await viewer.take()
                if piece:
                    await self._say(frames.events(name, piece))
            await self._say([frames.answer("ended", name)])
        except GoneError:
            # The reading side notices as well, and ends the connection.
            return
        except Exception as error:
            logger.error("websocket.subscription_failed", exc_info=error)
            with suppress(GoneError):
                await self._say([frames.error(fault(), name)])
        finally:
            farewell.said()
            del self._subscriptions[name]
            self._wiring.streams.leave(self._principal.user_id)
            if seat is not None:
                self._wiring.attendance.leave(seat)
            if viewer is not None:
                await viewer.close()

    async def _unsubscribe(self, name: str) -> None:
        task = self._subscriptions.get(name)
        if task is None:
            raise Refusal(Code.NOT_FOUND, f"There is no subscription {name!r}.")
        task.cancel()
        await asyncio.wait([task])
        await self._say([frames.answer("unsubscribed", name)])

    async def _send(self, command: frames.Send) -> None:
        key, caller, wiring = command.idempotency_key, self._principal, self._wiring
        if key is not None and not key.strip():
            raise Refusal(Code.IDEMPOTENCY_KEY_INVALID, "The idempotency_key is empty; leave it out or give a key.")
        thread_id = thread_id_of(command.thread)
        wait = wiring.messages.take(caller.user_id, asyncio.get_running_loop().time())
        if wait:
            raise Refusal(Code.LIMIT_REACHED, "Too many messages at once; wait a moment.", retry_after=wait)
        message = MessageToSend(
            content=command.content,
            model=command.model,
            parent_message_id=command.parent_message_id,
            idempotency_key=key or "",
            options=SendOptions(
                agent=command.agent, on_busy=command.on_busy, run_at=command.run_at, roles=(caller.role,)
            ),
        )
        path = await wiring.choose_path(caller, thread_id=thread_id, model=command.model, asked="")
        accepted = await send_message(wiring.conversation, wiring.models, caller.user_id, thread_id, message, path=path)
        view = views.accepted_view(accepted, str(START))
        await self._say([frames.answer("accepted", command.id, **view.model_dump())])
