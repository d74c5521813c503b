"""Which client protocols this gateway speaks."""

from gateway.entrypoints.agui import AguiDoor
from gateway.entrypoints.ai_sdk import AiSdkDoor
from gateway.entrypoints.doors import ClientDoor, ClientDoors
from gateway.entrypoints.durable_streams import LONG_POLL_SECONDS, DurableStreamsDoor
from gateway.entrypoints.openai import OpenAiDoor
from gateway.entrypoints.protocol_http import HEARTBEAT_SECONDS, ProtocolStreams
from gateway.entrypoints.wiring import Doors, Wiring


def open_doors(
    wiring: Wiring, doors: Doors, *, heartbeat: float = HEARTBEAT_SECONDS, long_poll: float = LONG_POLL_SECONDS
) -> tuple[ClientDoors, ProtocolStreams]:
    """The doors, and their open streams (to drain them). `heartbeat` and `long_poll` are in seconds."""
    streams = ProtocolStreams(wiring, heartbeat=heartbeat)
    served: list[ClientDoor] = [
        AiSdkDoor(wiring, doors, streams),
        OpenAiDoor(wiring, doors, streams),
        AguiDoor(wiring, doors, streams),
        DurableStreamsDoor(wiring, doors, streams, long_poll=long_poll),
    ]
    return ClientDoors(wiring, served), streams
