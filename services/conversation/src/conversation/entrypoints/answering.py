"""Errors of handlers as gRPC statuses with their stable code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import structlog
from bus.errors import BusError
from contracts.codes import Code
from runtime.rpc import abort
from store.errors import StoreUnavailableError

from conversation.domain.refusals import RefusedError

logger = structlog.get_logger()
Context = grpc.aio.ServicerContext[Any, Any]

_STATUSES: Final = {
    Code.THREAD_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.MESSAGE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.RUN_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.DOCUMENT_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Code.INVITATION_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    Code.SCHEDULE_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.REVISION_CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Code.DEAD_LETTER_NOT_REPEATABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Code.THREAD_BUSY: grpc.StatusCode.FAILED_PRECONDITION,
    Code.RUN_FINISHED: grpc.StatusCode.FAILED_PRECONDITION,
    Code.ALREADY_ANSWERED: grpc.StatusCode.FAILED_PRECONDITION,
    Code.IDEMPOTENCY_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    Code.LIMIT_REACHED: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
"""Every other refusal is INVALID_ARGUMENT."""


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """Inside, a refusal or a store that does not answer ends the call with the right status. Anything else is a fault of
    ours, which runtime.rpc logs and answers."""
    try:
        yield
    except RefusedError as refusal:
        status = _STATUSES.get(refusal.code, grpc.StatusCode.INVALID_ARGUMENT)
        await abort(context, status, refusal.code, refusal.sentence)
    except (StoreUnavailableError, BusError) as error:
        logger.warning("store.unavailable", error=str(error), cause=type(error.__cause__).__name__)
        await abort(
            context,
            grpc.StatusCode.UNAVAILABLE,
            Code.UNAVAILABLE,
            "The database does not answer just now. Try again in a moment, with the same idempotency key if there was one.",
        )
