"""A run's context, asked of conversation over gRPC."""

from collections.abc import Sequence
from typing import Final

import grpc
from rpc.v1.conversation_pb2 import GetRunInputRequest
from rpc.v1.conversation_pb2_grpc import ConversationServiceStub

from inference.ports import InputMessage, InputUnavailableError, RunGoneError

CALL_SECONDS: Final = 5.0


class GrpcRunInputs:
    """Implements ports.RunInputs over a channel that the caller owns."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ConversationServiceStub(channel)

    async def get(self, run_id: str) -> Sequence[InputMessage]:
        """See ports.RunInputs."""
        try:
            reply = await self._stub.GetRunInput(GetRunInputRequest(run_id=run_id), timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise RunGoneError(run_id) from error
            raise InputUnavailableError(f"{error.code().name}: {error.details()}") from error
        return [InputMessage(role=message.role, content=message.content) for message in reply.messages]
