"""Logs: structlog on standard output, one JSON object per line (or lines for a person), with trace and span id.

`logger = structlog.get_logger()` in each module; the first argument is a stable event name (`run.claimed`), the rest are
keywords. What people and models write never gets into a log: fields that carry it are withheld here, whoever logs them.
"""

import logging
import re
import sys
from typing import Final, Literal

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from runtime import telemetry

WITHHELD: Final = frozenset(
    {"api_key", "authorization", "body", "content", "delta", "messages", "password", "preview", "prompt", "secret"}
    | {"system_prompt", "text", "title", "token"}
)
"""Fields that hold message text or secrets. Their values are replaced, so that a slip in one place leaks nothing."""

_URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s:]*:[^/@\s]*@")
_QUIET: Final = {
    # At debug level these write whole requests into the log, message text included.
    "aiohttp": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
    "openai": logging.WARNING,
    "pymongo": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "asyncio": logging.WARNING,
    "opentelemetry": logging.ERROR,
}


def configure(
    service: str,
    instance: str,
    *,
    log_format: Literal["json", "console"] = "json",
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Send structlog's and the standard library's loggers to standard output in one format. Call once per process."""
    level = logging.getLevelNamesMapping()[log_level.upper()]

    def add_origin(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"], event["instance"] = service, instance
        return event

    chain: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        add_origin,
        add_trace,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        withhold,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*chain, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    _route_standard_library(level, chain, renderer)


def _route_standard_library(level: int, chain: list[Processor], renderer: Processor) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_TelemetryNowAndThen())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, least))
    logging.captureWarnings(True)


class _TelemetryNowAndThen(logging.Filter):
    """A collector that is away is worth one line a minute, not one for each batch of spans; the service needs no collector."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        if record.created < self._next:
            return False
        self._next = record.created + 60.0
        return True


def add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Add `trace_id` and `span_id` of the current span."""
    ids = telemetry.current_ids()
    if ids is not None:
        event["trace_id"], event["span_id"] = ids
    return event


def withhold(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace the values of WITHHELD fields, and credentials inside URLs wherever they stand."""
    for key, value in event.items():
        if key in WITHHELD:
            event[key] = f"[withheld, {len(value)} characters]" if isinstance(value, str) else "[withheld]"
        elif isinstance(value, str) and "://" in value:
            event[key] = _URL_CREDENTIALS.sub("***@", value)
    return event


def _to_json(value: object, **_: object) -> str:
    return msgspec.json.encode(value, enc_hook=repr).decode()
