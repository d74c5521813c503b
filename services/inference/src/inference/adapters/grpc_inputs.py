"""A run's context, asked of conversation over gRPC."""

from typing import Final

import grpc
import msgspec
from contracts.client_tools import decode_tools
from contracts.parts import Part
from rpc.v1.conversation_pb2 import GetRunInputRequest
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub

from inference.domain.run_input import RunInput, StoredMessage
from inference.ports import InputUnavailableError, RunGoneError

CALL_SECONDS: Final = 5.0
_parts = msgspec.json.Decoder(list[Part])


class GrpcRunInputs:
    """Implements ports.RunInputs over a channel that the caller owns."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ConversationServiceStub(channel)

    async def get(self, run_id: str) -> RunInput:
        """See ports.RunInputs."""
        try:
            reply = await self._stub.GetRunInput(GetRunInputRequest(run_id=run_id), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise RunGoneError(run_id) from error
            raise InputUnavailableError(f"{error.code().name}: {error.details()}") from error
        return RunInput(
            messages=[
                StoredMessage(message.role, message.content, _parts.decode(message.parts_json or b"[]"))
                for message in reply.messages
            ],
            agent=reply.agent,
            user_id=reply.user_id,
            roles=frozenset(reply.roles),
            recorded=_parts.decode(reply.recorded_parts_json or b"[]"),
            brought=decode_tools(reply.client_tools_json),
        )
