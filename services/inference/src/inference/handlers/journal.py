"""The attempt's hand on its run's log: events with their head, numbers of steps and parts, and how much room is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
from bus.api import Claim
from contracts import events as e
from contracts.run_state import RunState
from contracts.usage import Usage

from inference.handlers.write_log import RunWriter

_encoder = msgspec.json.Encoder()


class Journal:
    """Queues events; `stored` returns once they are in the log and folded into `state`. What is decided from `state` must be
    decided after it.

    `max_bytes` bounds what the parts and the user's words in between have as JSON: a snapshot holds all of them, and must fit
    into one message of the broker however much of it has to be escaped.
    """

    def __init__(
        self, writer: Callable[[int], RunWriter], claim: Claim, state: RunState, stream_sequence: int, max_bytes: int
    ) -> None:
        self._new_writer, self._claim, self.state = writer, claim, state
        self.writer = writer(stream_sequence)
        self._next_part = state.next_part
        self._next_step = state.last_step + 1
        self._max_bytes = max_bytes
        self._together: list[e.RunEvent] | None = None
        self._bytes = sum(encoded_size(part.value) for part in state.parts.values()) + sum(
            encoded_size(steer.text) for steer in state.steers
        )

    def put(self, event_type: type[e.RunEvent], /, **fields: object) -> None:
        """Queue one event."""
        head = {"thread_id": self._claim.thread_id, "run_id": self._claim.run_id}
        event = event_type(**head, **fields, sequence=0, attempt=0, at="")  # type: ignore[arg-type]  # checked by tests
        if self._together is None:
            self.writer.event(event)
        else:
            self._together.append(event)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is put within is stored all or not at all. Nothing may be awaited within."""
        events: list[e.RunEvent] = []
        self._together = events
        try:
            yield
        finally:
            self._together = None
        self.writer.together(events)

    def book(
        self,
        *,
        step: int,
        of_attempt: int,
        model: str,
        usage: Usage,
        cost: int | None,
        agent: str | None,
        finish_reason: str | None = None,
    ) -> None:
        """Queue a ledger entry."""
        self.put(
            e.UsageReported,
            step=step,
            of_attempt=of_attempt,
            model=model,
            usage=usage,
            cost_microusd=cost,
            agent=agent,
            finish_reason=finish_reason,
        )

    async def stored(self) -> None:
        """Return when everything queued so far is in the log; raises the log's error when it will not be."""
        await self.writer.stored()

    def checkpoint(self) -> None:
        """Queue a snapshot."""
        self.writer.checkpoint()

    def new_part(self) -> int:
        """The number of a part that opens now."""
        self._next_part += 1
        return self._next_part - 1

    def new_step(self) -> int:
        """The number of a step that begins now."""
        self._next_step += 1
        return self._next_step - 1

    def take_room(self, size: int) -> None:
        """So many more bytes of JSON are part of the answer."""
        self._bytes += size

    @property
    def room(self) -> int:
        """Bytes of JSON that the answer may still grow by."""
        return self._max_bytes - self._bytes

    def renew(self) -> None:
        """Forget what was queued and could not be stored; write on from what is."""
        self.writer = self._new_writer(self.writer.stream_sequence)


def encoded_size(value: object) -> int:
    """Bytes of its JSON."""
    return len(_encoder.encode(value))
