"""gRPC the way this project uses it: one channel over several addresses, one server with health and a graceful stop,
trace context in both, and stable error codes in the trailing metadata.
"""

import ipaddress
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

import grpc
from contracts.codes import Code

from runtime.process import ConfigurationError, StartupError
from runtime.rpc_tracing import CODE_KEY, ServerTracing, StreamClientTracing, UnaryClientTracing, end_with

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
KEEPALIVE_MILLISECONDS: Final = 10_000
MAX_CONNECTION_MILLISECONDS: Final = 300_000

_CLIENT_OPTIONS: Final = (
    # A peer that was killed is found again within a second of its return, not after gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)
_SERVER_OPTIONS: Final = (
    # Without this a second process on the same port starts happily and takes half of the connections.
    ("grpc.so_reuseport", 0),
    # So that clients look again who there is: new replicas get calls too. Calls under way are not cut.
    ("grpc.max_connection_age_ms", MAX_CONNECTION_MILLISECONDS),
    ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MILLISECONDS // 2),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
)


def connect(addresses: str, *, idempotent: Sequence[str] = ()) -> grpc.aio.Channel:
    """A channel to `addresses` (`host:port`, several separated by commas: calls go round those that are up).

    Connects when first used and reconnects by itself. Calls to the methods in `idempotent` (`package.Service/Method`)
    are repeated by gRPC, at most four times within about a second, where the peer was unavailable; all others fail at once
    with UNAVAILABLE, and may or may not have been carried out. Raises ConfigurationError for addresses that make no sense.
    """
    config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
    if idempotent:
        config["methodConfig"] = [
            {
                "name": [dict(zip(("service", "method"), name.split("/"), strict=True)) for name in idempotent],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    return grpc.aio.insecure_channel(
        target_of(addresses),
        options=[*_CLIENT_OPTIONS, ("grpc.service_config", json.dumps(config))],
        interceptors=[UnaryClientTracing(), StreamClientTracing()],
    )


def target_of(addresses: str) -> str:
    """gRPC's target for a list of addresses: `ipv4:a:1,b:2`, or `dns:///name:port`, which stands for all its addresses."""
    parts = [part.strip().replace("localhost:", "127.0.0.1:") for part in addresses.split(",") if part.strip()]
    if not parts:
        raise ConfigurationError("no gRPC address is given; expected host:port, several separated by commas")
    families = set()
    for part in parts:
        host, _, port = part.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigurationError(f"the gRPC address {part!r} is not host:port")
        try:
            families.add(f"ipv{ipaddress.ip_address(host.strip('[]')).version}")
        except ValueError:
            families.add("dns")
    if families == {"dns"} and len(parts) == 1:
        return f"dns:///{parts[0]}"
    if len(families) == 1 and "dns" not in families:
        return f"{families.pop()}:{','.join(parts)}"
    raise ConfigurationError(
        f"the gRPC addresses {', '.join(parts)} cannot be used together; give IP addresses of one family, "
        "or one name that stands for all of them"
    )


class Server:
    """A gRPC server with health and reflection. Add servicers to `grpc`, then `start`; `stop` lets calls under way finish."""

    def __init__(self) -> None:
        # Only a server needs them, and a gateway has none.
        from grpc_health.v1 import health, health_pb2_grpc
        from grpc_reflection.v1alpha import reflection

        self.grpc: Final = grpc.aio.server(interceptors=[ServerTracing()], options=list(_SERVER_OPTIONS))
        self._names: Final = [reflection.SERVICE_NAME]
        added = self.grpc.add_generic_rpc_handlers

        def add(generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
            handlers = list(generic_rpc_handlers)
            self._names.extend(one.service_name() for one in handlers if isinstance(one, grpc.ServiceRpcHandler))
            added(handlers)

        # gRPC tells nobody which services a server has; reflection must.
        self.grpc.add_generic_rpc_handlers = add  # type: ignore[method-assign]
        self._health: Final = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.grpc)
        self._started = False

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port (0 asks for a free one). Raises StartupError where the address is taken."""
        from grpc_health.v1 import health_pb2
        from grpc_reflection.v1alpha import reflection

        try:
            bound = self.grpc.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise StartupError(
                f"the address {host}:{port} is taken or cannot be listened on; stop what listens there or choose another port"
            ) from error
        reflection.enable_server_reflection(self._names, self.grpc)
        await self.grpc.start()
        for name in self._names:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        self._started = True
        return bound

    @property
    def serving(self) -> bool:
        """For a readiness check."""
        return self._started

    async def stop(self, grace: float) -> None:
        """Take no new calls, let those under way finish for at most `grace` seconds, then cancel them."""
        self._started = False
        await self._health.enter_graceful_shutdown()
        await self.grpc.stop(grace)


async def abort(
    context: "grpc.aio.ServicerContext[Any, Any]", status: grpc.StatusCode, code: Code, sentence: str
) -> NoReturn:
    """End the call with a status, a stable code for programs and a sentence for people. Where the call is over already, since its
    caller has left or its time is up, there is nobody to tell: it ends quietly, as a cancelled one."""
    await end_with(context, status, sentence, code)


_BY_STATUS: Final = {
    grpc.StatusCode.UNAVAILABLE: Code.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Code.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Code.LIMIT_REACHED,
    grpc.StatusCode.NOT_FOUND: Code.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED: Code.FORBIDDEN,
}


def code_of(error: grpc.aio.AioRpcError) -> tuple[Code, str]:
    """The stable code and the sentence of a failed call. Where the peer gave no code (it died, or is newer and gave one
    that is unknown here), the status says the nearest, and the sentence is ours: gRPC's own names addresses."""
    for key, value in error.trailing_metadata() or ():
        if key == CODE_KEY:
            try:
                return Code(value if isinstance(value, str) else value.decode()), error.details() or ""
            except ValueError:
                break
    code = _BY_STATUS.get(error.code(), Code.INTERNAL)
    if code is Code.UNAVAILABLE:
        return code, "A part of the service did not answer. Try again in a moment."
    return code, "The request could not be carried out."
