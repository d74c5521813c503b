"""Which client protocols this gateway speaks."""

from gateway.entrypoints.agui import AguiDoor
from gateway.entrypoints.ai_sdk import AiSdkDoor
from gateway.entrypoints.doors import ClientDoor, ClientDoors
from gateway.entrypoints.openai import OpenAiDoor
from gateway.entrypoints.protocol_http import HEARTBEAT_SECONDS, ProtocolStreams
from gateway.entrypoints.wiring import Doors, Wiring


def open_doors(
    wiring: Wiring, doors: Doors, *, heartbeat: float = HEARTBEAT_SECONDS
) -> tuple[ClientDoors, ProtocolStreams]:
    """The doors, and their open streams (to drain them)."""
    streams = ProtocolStreams(wiring, heartbeat=heartbeat)
    served: list[ClientDoor] = [
        AiSdkDoor(wiring, doors, streams),
        OpenAiDoor(wiring, doors, streams),
        AguiDoor(wiring, doors, streams),
    ]
    return ClientDoors(wiring, served), streams
