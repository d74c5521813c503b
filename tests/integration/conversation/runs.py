"""A run as inference would write it, event by event, with snapshots on demand."""

import msgspec
from bus.api import Claim
from contracts import events as e
from contracts.run_state import RunState, Snapshot, encode_snapshot
from contracts.usage import Usage
from rpc.v1 import conversation_pb2 as pb

from tests.integration.conversation.replica import Service

MODEL = "embedded:smollm2-135m"


class Worker:
    """A worker's pen for one run; every snapshot is recorded by conversation if it consumes them."""

    def __init__(self, service: Service, claim: Claim, message_id: str) -> None:
        self.service, self.claim, self.message_id = service, claim, message_id
        self.state = RunState(run_id=claim.run_id, thread_id=claim.thread_id)
        self.position = 0

    @classmethod
    async def take(cls, service: Service, thread: str, accepted: pb.AcceptMessageResponse) -> "Worker":
        """Claim the run and begin it."""
        holder = await service.bus.run_log.holder(thread, accepted.run_id)
        claim = await service.bus.run_log.claim(thread, accepted.run_id, worker="w", delivery="", after=holder)
        worker = cls(service, claim, accepted.assistant_message_id)
        await worker.add(e.RunStarted, message_id=worker.message_id, model=MODEL, path="durable_event")
        await worker.add(e.AttemptStarted, worker="w")
        return worker

    async def add(self, kind: type[e.RunEvent], /, **fields: object) -> None:
        """Append one event."""
        head = {
            "type": kind.__struct_config__.tag,
            "thread_id": self.claim.thread_id,
            "run_id": self.claim.run_id,
            "sequence": self.state.sequence + 1,
            "attempt": 1,
            "at": "2026-01-01T00:00:00.000Z",
        }
        event = msgspec.convert({**head, **fields}, kind)
        self.position = await self.service.bus.run_log.append(self.claim, event.sequence, e.encode_event(event))
        self.state.apply(event)

    async def snapshot(self) -> None:
        """Write the state so far."""
        data = encode_snapshot(Snapshot(state=self.state, stream_sequence=self.position))
        await self.service.bus.run_log.snapshot(self.claim, self.state.sequence, data)

    async def end(self, kind: type[e.RunEvent] = e.RunCompleted, **fields: object) -> None:
        """The terminal event and the last snapshot."""
        await self.add(kind, message_id=self.message_id, usage=Usage(), cost_microusd=0, **fields)
        await self.snapshot()
