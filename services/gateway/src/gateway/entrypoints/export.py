"""`/v1/threads/{id}/export`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from gateway.domain.export import file_name
from gateway.entrypoints.routes import Behind, Caller, ThreadId
from gateway.entrypoints.views import message_view, thread_view
from gateway.handlers.export_thread import export_json, export_markdown

router = APIRouter(prefix="/v1")


@router.get(
    "/threads/{thread_id}/export",
    tags=["threads"],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/markdown": {}, "application/json": {}}}},
)
async def export_thread(
    caller: Caller,
    wiring: Behind,
    thread_id: ThreadId,
    wanted: Annotated[
        Literal["markdown", "json"], Query(alias="format", description="JSON has the log too.")
    ] = "markdown",
) -> StreamingResponse:
    """The whole thread as one document. For everybody in it."""
    if wanted == "markdown":
        thread, pieces = await export_markdown(wiring.conversation, wiring.log, caller.user_id, thread_id)
        media_type, extension = "text/markdown; charset=utf-8", "md"
    else:
        thread, pieces = await export_json(
            wiring.conversation,
            wiring.log,
            caller.user_id,
            thread_id,
            now=datetime.now(UTC),
            show_thread=_thread,
            show_message=_message,
        )
        media_type, extension = "application/json", "json"
    disposition = f'attachment; filename="{file_name(thread, extension)}"'
    return StreamingResponse(pieces, media_type=media_type, headers={"content-disposition": disposition})


def _thread(thread: Any) -> dict[str, Any]:
    return thread_view(thread).model_dump()


def _message(message: Any) -> dict[str, Any]:
    return message_view(message).model_dump()
