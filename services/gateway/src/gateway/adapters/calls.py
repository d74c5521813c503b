"""One gRPC call to conversation, its failure as a refusal."""

from typing import TypeVar

import grpc
from contracts.codes import Code
from runtime.rpc import code_of

from gateway.domain.problems import STATUS, Refusal

Q = TypeVar("Q")
A = TypeVar("A")


async def call(method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]", request: Q, deadline: float) -> A:
    """Wait for a connection and the answer, `deadline` seconds at most. Raises Refusal."""
    try:
        return await method(request, timeout=deadline, wait_for_ready=True)
    except grpc.aio.AioRpcError as error:
        code, sentence = code_of(error)
        retry_after = 1.0 if STATUS[code] in (429, 503) else None
        if code is Code.INTERNAL:
            sentence = "The request could not be carried out. The trace id finds it in the logs."
        raise Refusal(code, sentence, retry_after=retry_after) from error
