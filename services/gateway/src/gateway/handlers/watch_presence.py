"""Watch a thread and who is there beside; or only who is there."""

import asyncio
from dataclasses import replace
from typing import Final

from gateway.handlers.watch import Attachment
from gateway.ports import Conversation, Viewer
from gateway.sharing_ports import Presences


async def watch_presence(conversation: Conversation, user_id: str, thread_id: str) -> Attachment:
    """A thread without its events: for who has them by another way, and else would get each of them twice. Raises Refusal."""
    await conversation.get_thread(user_id, thread_id)
    return Attachment(b"", SilentViewer(), thread_id)


def with_presence(presences: Presences | None, attachment: Attachment) -> Attachment:
    """The attachment to a thread, whose viewer is also told who is there."""
    if presences is None or attachment.viewer is None:
        return attachment
    return replace(attachment, viewer=PresentViewer(attachment.viewer, presences, attachment.thread_id))


class SilentViewer:
    """See ports.Viewer. It has no frames, and never ends."""

    cursor: Final = ""
    ended: Final = False

    def __init__(self) -> None:
        self._woken: Final = asyncio.Event()

    async def take(self) -> bytes:
        """See ports.Viewer."""
        await self._woken.wait()
        self._woken.clear()
        return b""

    def wake(self) -> None:
        """See ports.Viewer."""
        self._woken.set()

    async def close(self) -> None:
        """See ports.Viewer."""


class PresentViewer:
    """See ports.Viewer. Between the frames of its log stands who is there. Of what was heard and not yet taken only the newest is kept, so a slow client costs nothing."""

    def __init__(self, viewer: Viewer, presences: Presences, thread_id: str) -> None:
        self._viewer: Final = viewer
        self._news = b""
        self._room: Final = presences.listen(thread_id, self._heard)

    @property
    def cursor(self) -> str:
        """See ports.Viewer."""
        return self._viewer.cursor

    @property
    def ended(self) -> bool:
        """See ports.Viewer."""
        return self._viewer.ended

    async def take(self) -> bytes:
        """See ports.Viewer."""
        if not self._news:
            piece = await self._viewer.take()
            if piece or not self._news:
                return piece
        news, self._news = self._news, b""
        return news

    def wake(self) -> None:
        """See ports.Viewer."""
        self._viewer.wake()

    async def close(self) -> None:
        """See ports.Viewer."""
        self._room.close()
        await self._viewer.close()

    def _heard(self, frame: bytes) -> None:
        self._news = frame
        self._viewer.wake()
