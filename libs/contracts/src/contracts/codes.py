"""Stable error codes: in problem documents, in `run.failed`, in gRPC trailers. Once shipped, a code never changes its meaning."""

from enum import StrEnum


class Code(StrEnum):
    """Why a request was refused. The value is what clients match on."""

    BODY_INVALID = "body_invalid"
    BODY_TOO_LARGE = "body_too_large"
    CONTENT_TYPE_UNSUPPORTED = "content_type_unsupported"
    QUERY_INVALID = "query_invalid"
    MESSAGE_EMPTY = "message_empty"
    MESSAGE_TOO_LONG = "message_too_long"
    MODEL_UNKNOWN = "model_unknown"
    THREAD_NOT_FOUND = "thread_not_found"
    MESSAGE_NOT_FOUND = "message_not_found"
    RUN_NOT_FOUND = "run_not_found"
    RUN_FINISHED = "run_finished"
    THREAD_BUSY = "thread_busy"
    CURSOR_INVALID = "cursor_invalid"
    TOKEN_MISSING = "token_missing"
    TOKEN_INVALID = "token_invalid"
    TOKEN_EXPIRED = "token_expired"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"
    LIMIT_REACHED = "limit_reached"
    FLAG_INVALID = "flag_invalid"
    REVISION_CONFLICT = "revision_conflict"
    REVISION_MISSING = "revision_missing"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class RunFailure(StrEnum):
    """Why a run failed: the `code` of `run.failed`."""

    RATE_LIMITED = "rate_limited"
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_INCOMPLETE = "upstream_incomplete"
    CONTEXT_TOO_LONG = "context_too_long"
    REFUSED = "refused"
    MODEL_UNKNOWN = "model_unknown"
    DEADLINE = "deadline"
    POISON = "poison"
    ORPHANED = "orphaned"
    LOG_FULL = "log_full"
    INTERNAL = "internal"
