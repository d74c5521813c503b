"""What is unread, what was read, and the browsers that are told when nobody is looking."""

from datetime import UTC, datetime
from typing import Annotated

from bus.errors import RevisionConflictError
from contracts.codes import Code
from contracts.cursor import Cursor, InvalidCursorError, parse_cursor
from fastapi import APIRouter, Query
from pydantic import BaseModel, StringConstraints

from gateway.domain.problems import Refusal
from gateway.domain.unread import Unread
from gateway.entrypoints.patience import patience
from gateway.entrypoints.routes import Behind, Caller, ThreadId
from gateway.entrypoints.views import Body
from gateway.entrypoints.webhooks import Behind as Notified
from gateway.handlers.mark_read import mark_read
from gateway.handlers.subscribe_browser import device_id_of, subscribe_browser

router = APIRouter(prefix="/v1")

Key = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class UnreadThread(BaseModel):
    """How many feed entries of a thread are unread."""

    thread_id: str
    unread: int


class UnreadView(BaseModel):
    """What is unread, the thread with the oldest unread entry first. Watch the feed from `cursor` to hear of all that comes
    after it: an entry with `unread: true` adds one, `thread.read` takes away what came up to its `up_to`."""

    total: int
    items: list[UnreadThread]
    cursor: str


class ReadThread(Body):
    """Up to which entry of the feed the thread was read: the `id` of that event. Left out: all there is now."""

    cursor: Annotated[str, StringConstraints(max_length=40)] | None = None


class BrowserKeys(Body):
    """The keys of a PushSubscription."""

    p256dh: Key
    auth: Key


class SubscribeBrowser(Body):
    """A browser's PushSubscription, as its toJSON() gives it, and whether messages may hold text."""

    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    keys: BrowserKeys
    expirationTime: float | None = None
    with_text: bool = False


class BrowserView(BaseModel):
    """A browser that is told when an answer is there or waits, unless the user is watching."""

    id: str
    with_text: bool
    created_at: str


class PushView(BaseModel):
    """`public_key` is for the browser's `applicationServerKey`; null where nothing is pushed here."""

    public_key: str | None
    items: list[BrowserView]


@router.get("/me/unread", tags=["me"])
async def get_unread(caller: Caller, notices: Notified) -> UnreadView:
    """What the caller has not read, by thread."""
    async with patience():
        return _view(await notices.feeds.unread(caller.user_id))


@router.post("/threads/{thread_id}/read", tags=["threads"])
async def post_read(
    caller: Caller, wiring: Behind, notices: Notified, thread_id: ThreadId, body: ReadThread | None = None
) -> UnreadView:
    """The caller has read the thread; all devices are told. What is unread after that."""
    place = _place(body.cursor) if body is not None and body.cursor is not None else None
    async with patience(writes=True):
        return _view(await mark_read(wiring.conversation, notices.feeds, caller.user_id, thread_id, place))


@router.get("/me/push", tags=["me"])
async def get_push(caller: Caller, notices: Notified) -> PushView:
    """The key that a browser needs to subscribe, and the caller's browsers."""
    async with patience():
        devices, key = await notices.browsers.of(caller.user_id), await notices.browsers.key()
    items = [BrowserView.model_validate(device, from_attributes=True) for device in devices]
    return PushView(public_key=key or None, items=items)


@router.post("/me/push", status_code=201, tags=["me"])
async def post_push(caller: Caller, notices: Notified, body: SubscribeBrowser) -> BrowserView:
    """Be told in this browser when an answer is there or waits for you. Renews a subscription that is known."""
    try:
        async with patience(writes=True):
            device = await subscribe_browser(
                notices,
                caller.user_id,
                endpoint=body.endpoint,
                p256dh=body.keys.p256dh,
                auth=body.keys.auth,
                with_text=body.with_text,
                now=datetime.now(UTC),
            )
    except RevisionConflictError as error:
        raise Refusal(Code.REVISION_CONFLICT, "The same browser subscribed twice at once; try again.") from error
    return BrowserView.model_validate(device, from_attributes=True)


@router.delete("/me/push", status_code=204, tags=["me"])
async def delete_push(
    caller: Caller,
    notices: Notified,
    endpoint: Annotated[str, Query(min_length=1, max_length=2048, description="The subscription's endpoint.")],
) -> None:
    """Be told in this browser no longer. Idempotent."""
    try:
        async with patience(writes=True):
            await notices.browsers.remove(caller.user_id, device_id_of(endpoint))
    except RevisionConflictError as error:
        raise Refusal(Code.REVISION_CONFLICT, "The browser renewed itself at the same moment; try again.") from error


def _place(text: str) -> Cursor:
    try:
        return parse_cursor(text)
    except InvalidCursorError as error:
        raise Refusal(Code.CURSOR_INVALID, f"The cursor is {error}.") from error


def _view(unread: Unread) -> UnreadView:
    counts = unread.counts
    items = [UnreadThread(thread_id=thread_id, unread=count) for thread_id, count in counts.items()]
    return UnreadView(total=sum(counts.values()), items=items, cursor=f"{unread.up_to}-0")
