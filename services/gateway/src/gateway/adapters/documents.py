"""DocumentService over gRPC."""

from typing import Final

from rpc.v1 import documents_pb2 as pb
from rpc.v1.documents_pb2_grpc import DocumentServiceStub
from runtime.rpc import connect

from gateway.adapters.calls import call
from gateway.domain.documents import Document, DocumentPage

SERVICE: Final = "everthread.v1.DocumentService"
UPLOAD_SECONDS: Final = 30.0


class GrpcDocuments:
    """`ports.Documents`. `deadline` is what one call may take, in seconds; an upload may take UPLOAD_SECONDS."""

    def __init__(self, addresses: str, *, deadline: float) -> None:
        self._channel: Final = connect(
            addresses, idempotent=[f"{SERVICE}/{method}" for method in ("GetDocument", "ListDocuments")]
        )
        self._stub: Final = DocumentServiceStub(self._channel)
        self._deadline: Final = deadline

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    async def create(
        self, user_id: str, document_id: str, *, corpus: str, title: str, media_type: str, url: str, data: bytes
    ) -> Document:
        """See ports.Documents."""
        request = pb.CreateDocumentRequest(
            user_id=user_id,
            document_id=document_id,
            corpus=corpus,
            title=title,
            media_type=media_type,
            url=url,
            data=data,
        )
        return _document((await call(self._stub.CreateDocument, request, UPLOAD_SECONDS)).document)

    async def get(self, corpus: str, document_id: str) -> Document:
        """See ports.Documents."""
        request = pb.GetDocumentRequest(corpus=corpus, document_id=document_id)
        return _document((await call(self._stub.GetDocument, request, self._deadline)).document)

    async def of(self, corpus: str, *, cursor: str, limit: int) -> DocumentPage:
        """See ports.Documents."""
        request = pb.ListDocumentsRequest(corpus=corpus, cursor=cursor, limit=limit)
        answer = await call(self._stub.ListDocuments, request, self._deadline)
        return DocumentPage([_document(item) for item in answer.items], answer.next_cursor)

    async def delete(self, corpus: str, document_id: str) -> None:
        """See ports.Documents."""
        request = pb.DeleteDocumentRequest(corpus=corpus, document_id=document_id)
        await call(self._stub.DeleteDocument, request, self._deadline)


def _document(item: pb.Document) -> Document:
    return Document(
        id=item.id,
        corpus=item.corpus,
        title=item.title,
        media_type=item.media_type,
        url=item.url,
        size=item.size,
        state=item.state,
        done=item.done,
        total=item.total,
        error=item.error,
        created_at=item.created_at,
    )
