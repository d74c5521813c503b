"""What every front door sends: one payload, encoded once, and the bytes around it.

A mapping is a fold: it is fed a run's events in order from sequence 1 and answers each with that event's frames. The same
log prefix gives the same frames at every gateway, so a place in the frames can be counted (`startIndex`,
`sequence_number`) and resumed anywhere. Where a protocol counts, a delta is never joined with its neighbours: one
`text.delta` is one frame, in the first reading as in every later one.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import msgspec
from contracts.events import RunEvent
from contracts.run_state import RunState

DONE: Final = b"data: [DONE]\n\n"
"""The last bytes of an AI SDK or OpenAI stream."""

_encoder: Final = msgspec.json.Encoder()


class Frame(NamedTuple):
    """One protocol frame: its JSON, and the SSE `event` name where the protocol has one. A `bare` one is no SSE frame: it goes
    out as it is."""

    data: bytes
    event: str = ""
    bare: bool = False


@dataclass(frozen=True, slots=True)
class FramePlace:
    """Where to begin in the frames: response `segment`, behind `skip` frames of it; a negative `skip` counts from the end of
    what there is."""

    segment: int = 0
    skip: int = 0


class Mapping(Protocol):
    """The frames of one run in one protocol."""

    @property
    def ended(self) -> bool:
        """The response is over, or has not begun: the next frame begins another."""

    def opening(self) -> list[Frame]:
        """The frames that stand before the log. Asked for once, before the first event."""

    def feed(self, event: RunEvent) -> list[Frame]:
        """The frames of the next event. Events come in order, none missing, none twice."""


@runtime_checkable
class ResumableMapping(Mapping, Protocol):
    """A mapping whose protocol can show a run as it is."""

    def prelude(self, state: RunState) -> list[Frame]:
        """The frames that bring a new viewer to where the mapping is; `state` is the fold of what it was fed. Changes
        nothing."""


@runtime_checkable
class CountedMapping(Mapping, Protocol):
    """A mapping whose frames clients count. An answer that is made anew of what is stored has other and fewer frames than its
    log had, so a place that was counted among those is no place among these."""

    def made_anew(self, *, ended: bool) -> None:
        """What will be fed is made of what is stored: the whole answer, always the same; or, where it has not `ended`, as much as
        there is just now. Called before `opening`."""

    def come_back(self, place: FramePlace) -> FramePlace:
        """Where to begin for a client that has come as far as `place`: nothing that it may lack is left out. Raises Refusal where
        that cannot be said in the protocol."""


def frame(payload: dict[str, Any], event: str = "") -> Frame:
    """Encode a payload."""
    return Frame(_encoder.encode(payload), event)


def sse(item: Frame, cursor: str = "") -> bytes:
    """The frame on the wire. The cursor goes on the last frame of its event, so that no frame is skipped by a resume."""
    if item.bare:
        return item.data
    place = b"id: %b\n" % cursor.encode() if cursor else b""
    name = b"event: %b\n" % item.event.encode() if item.event else b""
    return b"%b%bdata: %b\n\n" % (place, name, item.data)
