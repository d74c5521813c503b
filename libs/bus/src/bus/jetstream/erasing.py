"""Purges, deletions and the subjects that a stream has, by the JetStream API."""

from typing import Final

from bus.jetstream import api_calls
from bus.jetstream.api_calls import ApiError, call_api
from bus.jetstream.requests import Requests

PURGE_SECONDS: Final = 30.0


async def purge(requests: Requests, stream: str, subject_filter: str, keep: int = 0) -> int:
    """See bus.erasing.Erasing."""
    body = {"filter": subject_filter} | ({"keep": keep} if keep else {})
    answer = await call_api(requests, f"STREAM.PURGE.{stream}", body, timeout=PURGE_SECONDS)
    return int(answer.get("purged", 0))


async def erase(requests: Requests, stream: str, stream_sequence: int) -> None:
    """See bus.erasing.Erasing."""
    try:
        await call_api(requests, f"STREAM.MSG.DELETE.{stream}", {"seq": stream_sequence, "no_erase": False})
    except ApiError as error:
        if error.code not in (api_calls.MESSAGE_NOT_FOUND, api_calls.NO_MESSAGE_AT_SEQUENCE):
            raise


async def subjects_of(requests: Requests, stream: str, subject_filter: str) -> list[str]:
    """See bus.erasing.Erasing. The server gives them in pages."""
    found: list[str] = []
    while True:
        body = {"subjects_filter": subject_filter, "offset": len(found)}
        answer = await call_api(requests, f"STREAM.INFO.{stream}", body, timeout=PURGE_SECONDS)
        page = list(answer.get("state", {}).get("subjects") or {})
        found += page
        if not page or len(found) >= int(answer.get("total", len(found))):
            return found
