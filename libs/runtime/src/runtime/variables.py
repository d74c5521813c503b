"""Every EVERTHREAD_ environment variable and who reads it. A name that is not here is refused at start, as a slip of the pen.

A new setting: the field in its service's settings.py, and its name here (tests/unit/runtime compares the two).
"""

from typing import Final

SHARED: Final = frozenset(
    {
        "EVERTHREAD_DRAIN_SECONDS",
        "EVERTHREAD_HEALTH_HOST",
        "EVERTHREAD_HEALTH_PORT",
        "EVERTHREAD_HOST",
        "EVERTHREAD_INSTANCE",
        "EVERTHREAD_LOG_FORMAT",
        "EVERTHREAD_LOG_LEVEL",
        "EVERTHREAD_MODELS_FILE",
        "EVERTHREAD_STREAM_REPLICAS",
        "EVERTHREAD_TRACE_SHARE",
    }
)
"""Read by every service (runtime.settings)."""

GATEWAY: Final = frozenset(
    {
        "EVERTHREAD_BODY_BYTES",
        "EVERTHREAD_CONVERSATION_ADDRESS",
        "EVERTHREAD_CONVERSATION_DEADLINE",
        "EVERTHREAD_CORS_ORIGINS",
        "EVERTHREAD_DEMO_STATE_FILE",
        "EVERTHREAD_DEV_KEY_FILE",
        "EVERTHREAD_DEV_SESSION",
        "EVERTHREAD_DOCUMENT_BYTES",
        "EVERTHREAD_GUARD_COOL_DOWN",
        "EVERTHREAD_GUARD_INTERVAL",
        "EVERTHREAD_GUARD_RUNS",
        "EVERTHREAD_GUARD_STALLED_SECONDS",
        "EVERTHREAD_GUARD_STEP_SECONDS",
        "EVERTHREAD_INFERENCE_ADDRESS",
        "EVERTHREAD_JWKS_URL",
        "EVERTHREAD_JWT_AUDIENCE",
        "EVERTHREAD_JWT_ISSUER",
        "EVERTHREAD_MESSAGES_BURST",
        "EVERTHREAD_MESSAGES_PER_SECOND",
        "EVERTHREAD_PAGE_FOLDER",
        "EVERTHREAD_PIECE_BYTES",
        "EVERTHREAD_PORT",
        "EVERTHREAD_RING_BYTES",
        "EVERTHREAD_SIGN_IN_URL",
        "EVERTHREAD_STREAMS_PER_USER",
    }
)
CONVERSATION: Final = frozenset(
    {
        "EVERTHREAD_DOCUMENTS",
        "EVERTHREAD_DOCUMENT_BYTES",
        "EVERTHREAD_GRPC_PORT",
        "EVERTHREAD_MESSAGE_CHARACTERS",
        "EVERTHREAD_RECORD_CONCURRENCY",
        "EVERTHREAD_REVIVAL_SECONDS",
        "EVERTHREAD_RUN_SECONDS",
    }
)
INFERENCE: Final = frozenset(
    {
        "EVERTHREAD_ANSWER_BYTES",
        "EVERTHREAD_CONVERSATION_ADDRESS",
        "EVERTHREAD_EMBEDDINGS_FLOOR",
        "EVERTHREAD_EMBEDDINGS_MODEL",
        "EVERTHREAD_GRPC_PORT",
        "EVERTHREAD_QDRANT_API_KEY",
        "EVERTHREAD_QDRANT_URL",
        "EVERTHREAD_READING",
        "EVERTHREAD_SLOTS",
        "EVERTHREAD_TRACE_TEXT",
        "EVERTHREAD_UPSTREAM_CONNECT_SECONDS",
        "EVERTHREAD_UPSTREAM_IDLE_SECONDS",
        "EVERTHREAD_UPSTREAM_RETRY_SECONDS",
        "EVERTHREAD_UPSTREAM_TRIES",
    }
)
NOTIFIER: Final = frozenset({"EVERTHREAD_FACTS_AT_ONCE", "EVERTHREAD_NATS_MONITOR_URL"})
REGISTRY: Final = frozenset({"EVERTHREAD_EMBEDDED_MODEL_URL"})
"""Named by models.toml and read wherever the registry is."""
COMMAND: Final = frozenset({"EVERTHREAD_HOME"})
"""Read by the `everthread` command and its children's parent only."""

KNOWN: Final = SHARED | GATEWAY | CONVERSATION | INFERENCE | NOTIFIER | REGISTRY | COMMAND
