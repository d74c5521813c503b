"""The life of a process: event loop, logs, traces, signals, health, drain, exit code.

Exit codes: 0 stopped in time, 1 could not start or failed, 78 wrong settings (runtime.settings, ConfigurationError), 128 + n a
second signal n.
"""

import asyncio
import errno
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import structlog
import uvloop

from runtime import logging as runtime_logging
from runtime import metrics, telemetry
from runtime.health import Health
from runtime.settings import EXIT_CONFIGURATION, ServiceSettings

logger = structlog.get_logger()

_CLEAN_UP_SECONDS: Final = 3.0
"""What `main` gets for its `finally` blocks once the drain budget is used up."""


class StartupError(Exception):
    """The process cannot start; its text is the sentence for the person who started it: what is wrong, what to do."""


class ConfigurationError(StartupError):
    """The settings do not go together, or name what is not there: it exits with 78, as for a value that is wrong by itself."""


@dataclass(frozen=True, slots=True)
class Process:
    """What `main` is given. It adds its checks to `health`, works until `stopping` is set, then drains and returns."""

    service: str
    instance: str
    health: Health = field(default_factory=Health)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


Main = Callable[[Process], Awaitable[None]]


def run(service: str, settings: ServiceSettings, main: Main) -> None:
    """Run `main` until it returns or a signal stops it; returns after a clean stop, else raises SystemExit.

    SIGTERM or SIGINT: not ready at once, `stopping` is set, and `main` has `drain_seconds` to return before it is
    cancelled; while it has not added a check yet, it is cancelled right away. A second signal ends the process at once.
    """
    runtime_logging.configure(service, settings.instance, log_format=settings.log_format, log_level=settings.log_level)
    telemetry.configure(service, settings.instance, settings.otlp_endpoint, settings.trace_share)
    metrics.prepare(service, _version_of(service))
    if settings.otlp_metrics_endpoint is not None:
        metrics.export(service, settings.instance, settings.otlp_metrics_endpoint)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            code = runner.run(_live(service, settings, main))
    finally:
        telemetry.shutdown()
    if code:
        raise SystemExit(code)


async def _live(service: str, settings: ServiceSettings, main: Main) -> int:
    process = Process(service=service, instance=settings.instance)
    try:
        port = await process.health.serve(settings.health_host, settings.health_port)
    except OSError as error:
        _tell(process, _taken(error, settings.health_host, settings.health_port, "EVERTHREAD_HEALTH_PORT"))
        return 1
    lag = asyncio.create_task(metrics.watch_event_loop(), name="event loop lag")
    work = asyncio.ensure_future(_call(main, process))
    _listen_for_signals(process, settings.drain_seconds, work)
    logger.info("process.started", pid=os.getpid(), health_port=port)
    # What was built while starting lives as long as the process: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.enable()
    try:
        return await _outcome(process, settings.drain_seconds, work)
    finally:
        lag.cancel()
        await process.health.close()


def _version_of(service: str) -> str:
    try:
        return version(f"everthread-{service}")
    except PackageNotFoundError:
        return "unknown"


class _LeftError(Exception):
    """`main` left by SystemExit, whose sentence was said."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def _call(main: Main, process: Process) -> None:
    try:
        await main(process)
    except SystemExit as left:
        # Out of a task it would stop the loop in the middle of a turn, and what others say of that would be the last words.
        raise _LeftError(left.code if isinstance(left.code, int) else int(left.code is not None)) from left


async def _outcome(process: Process, drain_seconds: float, work: "asyncio.Future[None]") -> int:
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        if process.stopping.is_set() and process.health.starting:
            logger.info("process.stopped", while_starting=True)
            return 0
        if process.stopping.is_set():
            sentence = f"did not drain within {drain_seconds:g} s; what was under way is left to others"
        else:
            sentence = "was cancelled"
        _tell(process, sentence)
        return 1
    except _LeftError as left:
        return left.code
    except Exception as error:  # noqa: BLE001 - the last frame of the process: whatever it is becomes a sentence
        return _fail(process, error)
    logger.info("process.stopped")
    return 0


def _listen_for_signals(process: Process, drain_seconds: float, work: "asyncio.Future[None]") -> None:
    loop = asyncio.get_running_loop()

    def heard(number: signal.Signals) -> None:
        if process.stopping.is_set():
            sys.stdout.flush()
            os._exit(128 + number)
        logger.info("process.stopping", signal=number.name, drain_seconds=drain_seconds)
        process.health.set_draining()
        process.stopping.set()
        # While it starts there is nothing to drain, and what it waits for may never come.
        loop.call_later(0 if process.health.starting else drain_seconds, cut_off)

    def cut_off() -> None:
        if not work.done():
            work.cancel()
            loop.call_later(_CLEAN_UP_SECONDS, os._exit, 1)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard, number)


def _fail(process: Process, error: BaseException) -> int:
    """Say why it failed; returns the exit code."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, StartupError):
        sentence = str(error)
    elif isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        sentence = _taken(error, "", 0, "the address's variable")
    else:
        sentence = f"{error}" if str(error) else type(error).__name__
    # Before it was ever ready, a failure of the outside world is the reader's to mend: a sentence is all they need.
    # Afterwards, or where the fault can only be ours, the log gets the traceback too.
    if process.health.was_ready or _is_bug(error):
        sentence = f"{type(error).__name__}: {sentence}"
        logger.critical("process.failed", exc_info=error)
    _tell(process, sentence)
    return EXIT_CONFIGURATION if isinstance(error, ConfigurationError) else 1


def _is_bug(error: BaseException) -> bool:
    return type(error).__module__ == "builtins" and not isinstance(error, OSError)


def _taken(error: OSError, host: str, port: int, variable: str) -> str:
    if error.errno == errno.EADDRINUSE:
        where = f"{host}:{port}" if port else (error.strerror or str(error))
        return f"the address {where} is taken; stop what listens there or set {variable} to another port"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"


def _tell(process: Process, sentence: str) -> None:
    sys.stdout.flush()
    line = " ".join(sentence.split()).rstrip(".")
    print(f"everthread-{process.service} ({process.instance}): {line}.", file=sys.stderr, flush=True)
