"""Uploaded documents, asked of conversation over gRPC."""

from typing import Final, Literal

import grpc
from rpc.v1 import documents_pb2 as pb
from rpc.v1.documents_pb2_grpc import DocumentServiceStub

from inference.retrieval.ports import Document, UploadGoneError, UploadsUnavailableError

CALL_SECONDS: Final = 15.0
"""A document of ten megabytes takes some tenths of a second."""


class GrpcUploads:
    """retrieval.ports.Uploads over a channel that the caller owns."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = DocumentServiceStub(channel)

    async def get(self, document_id: str) -> Document:
        """See ports.Uploads."""
        try:
            found = await self._stub.GetDocumentContent(
                pb.GetDocumentContentRequest(document_id=document_id), timeout=CALL_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise UploadGoneError(document_id) from error
            raise _unavailable(error) from error
        about = found.document
        return Document(
            corpus=about.corpus,
            document_id=about.id,
            title=about.title,
            media_type=about.media_type,
            data=found.data,
            url=about.url or None,
        )

    async def record(
        self,
        document_id: str,
        state: Literal["reading", "ready", "failed"],
        *,
        done: int = 0,
        total: int = 0,
        error: str = "",
    ) -> None:
        """See ports.Uploads."""
        request = pb.RecordDocumentRequest(document_id=document_id, state=state, done=done, total=total, error=error)
        try:
            await self._stub.RecordDocument(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as failure:
            raise _unavailable(failure) from failure


def _unavailable(error: grpc.aio.AioRpcError) -> UploadsUnavailableError:
    return UploadsUnavailableError(f"{error.code().name}: {error.details()}")
