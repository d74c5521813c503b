"""Interceptors of grpc.aio: a span and a measurement per call on each side, W3C trace context in the metadata, unexpected
errors made plain.

Our own, since the instrumentation packages for grpc.aio are all pre-releases, and these are shorter than their set-up.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

import grpc
import structlog
from contracts.codes import Code
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from runtime import metrics, telemetry
from runtime.names import Metric

logger = structlog.get_logger()
_tracer = telemetry.tracer("runtime.rpc")
CODE_KEY: Final = "everthread-code"
"""Trailing metadata: the stable code (contracts.codes) of an error."""
_OUR_FAULT: Final = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


def _text(method: str | bytes) -> str:
    return (method.decode() if isinstance(method, bytes) else method).lstrip("/")


class _Call:
    """One call under way: its span and its place in the metrics."""

    def __init__(self, method: str, kind: SpanKind, context: Any = None) -> None:
        self._method = method.rpartition("/")[2]
        self._metric = Metric.RPC_SERVER_SECONDS if kind is SpanKind.SERVER else Metric.RPC_CLIENT_SECONDS
        self._began = time.perf_counter()
        self.span = _tracer.start_span(
            method,
            kind=kind,
            context=context,
            attributes={"rpc.system.name": "grpc", "rpc.method": method},
        )

    def end(self, status: grpc.StatusCode, *, failed: bool) -> None:
        """The call is over."""
        with trace.use_span(self.span):
            metrics.observe(self._metric, time.perf_counter() - self._began, method=self._method, status=status.name)
        self.span.set_attribute("rpc.response.status_code", status.name)
        if failed:
            self.span.set_attribute("error.type", status.name)
            self.span.set_status(StatusCode.ERROR, status.name)
        self.span.end()


def _with_context(details: grpc.aio.ClientCallDetails, span: Span) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    with trace.use_span(span):
        for key, value in telemetry.inject().items():
            metadata.add(key, value)
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


class UnaryClientTracing(grpc.aio.UnaryUnaryClientInterceptor):
    """A client span around each unary call."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        made = _Call(_text(client_call_details.method), SpanKind.CLIENT)
        status = grpc.StatusCode.CANCELLED
        try:
            call = await continuation(_with_context(client_call_details, made.span), request)
            status = await call.code()
            return call
        finally:
            made.end(status, failed=status is not grpc.StatusCode.OK)


class StreamClientTracing(grpc.aio.UnaryStreamClientInterceptor):
    """A client span around each server stream, from the call to its end."""

    def __init__(self) -> None:
        self._endings: set[asyncio.Task[None]] = set()

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        made = _Call(_text(client_call_details.method), SpanKind.CLIENT)
        call = await continuation(_with_context(client_call_details, made.span), request)
        ending = asyncio.ensure_future(_end_with(call, made))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return call


async def _end_with(call: Any, made: _Call) -> None:
    status = await call.code()
    made.end(status, failed=status is not grpc.StatusCode.OK)


class ServerTracing(grpc.aio.ServerInterceptor):
    """A server span around each unary call and server stream. An exception that a servicer did not foresee is logged here
    and answered as INTERNAL with the code `internal`, so that nothing of it reaches the caller."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = await continuation(handler_call_details)
        method = _text(handler_call_details.method)
        if handler is None or method.startswith("grpc."):
            return handler
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _traced_unary(method, handler.unary_unary),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _traced_stream(method, handler.unary_stream),
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler


def _traced_unary(method: str, serve: Any) -> Any:
    async def traced(request: Any, context: Any) -> Any:
        async with _server_span(method, context):
            return await serve(request, context)

    return traced


def _traced_stream(method: str, serve: Any) -> Any:
    async def traced(request: Any, context: Any) -> AsyncIterator[Any]:
        async with _server_span(method, context):
            async for response in serve(request, context):
                yield response

    return traced


@asynccontextmanager
async def _server_span(method: str, context: Any) -> AsyncIterator[None]:
    headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
    made = _Call(method, SpanKind.SERVER, telemetry.extract(headers))
    status = grpc.StatusCode.CANCELLED
    try:
        with trace.use_span(made.span, record_exception=False, set_status_on_exception=False):
            try:
                yield
                status = grpc.StatusCode.OK
            except grpc.aio.AbortError:
                status = _aborted_with(context)
                raise
            except NotImplementedError:
                # What the generated base class raises for a method that the servicer leaves out.
                status = grpc.StatusCode.UNIMPLEMENTED
                await end_with(context, status, "This method is not served here.")
            except Exception:
                status = grpc.StatusCode.INTERNAL
                logger.exception("rpc.failed", method=method)
                await end_with(context, status, "Something went wrong here.", Code.INTERNAL)
    finally:
        made.end(status, failed=status in _OUR_FAULT)


async def end_with(context: Any, status: grpc.StatusCode, sentence: str, code: Code | None = None) -> NoReturn:
    """End a call on the server's side. One that is over already (its caller left, its time is up, the server stopped) cannot be
    told anything, and ends as a cancelled one does."""
    try:
        await context.abort(status, sentence, () if code is None else ((CODE_KEY, code.value),))
    except grpc.aio.InternalError as error:
        # gRPC says nothing more exact of a call that takes no status any more.
        logger.debug("rpc.over", status=status.name, code=code, error=str(error))
        raise asyncio.CancelledError from error
    raise AssertionError("abort of grpc.aio always raises")


def _aborted_with(context: Any) -> grpc.StatusCode:
    code = context.code()
    return code if isinstance(code, grpc.StatusCode) else _STATUSES.get(code, grpc.StatusCode.UNKNOWN)


_STATUSES: Final = {status.value[0]: status for status in grpc.StatusCode}
