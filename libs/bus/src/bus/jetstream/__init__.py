"""The bus over NATS JetStream: `bus = await connect(url, instance="gateway-1")`, then `await bus.reconcile()`."""

from bus.jetstream.bus import JetStreamBus, connect

__all__ = ["JetStreamBus", "connect"]
