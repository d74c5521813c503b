"""The bus without a server, for unit tests: `Broker()` stands for the cluster, `MemoryBus("inference-1", broker)` for the
connection of one process, `await bus.kill()` for its sudden death.

Same fences, same errors, same attach as the real one (tests/conformance). Nothing survives the Broker object.
"""

from bus.memory.broker import Broker
from bus.memory.connection import MemoryBus

__all__ = ["Broker", "MemoryBus"]
