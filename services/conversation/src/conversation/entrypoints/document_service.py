"""gRPC of documents: each call decodes, calls its handler and encodes."""

from typing import Any

import grpc
from contracts.times import rfc3339
from rpc.v1 import documents_pb2 as pb
from rpc.v1.documents_pb2_grpc import DocumentServiceServicer

from conversation.domain.library import Document
from conversation.entrypoints.answering import answering
from conversation.handlers.create_document import create_document
from conversation.handlers.delete_document import delete_document
from conversation.handlers.get_document import get_document
from conversation.handlers.get_document_content import get_document_content
from conversation.handlers.list_documents import list_documents
from conversation.handlers.record_document import record_document
from conversation.library_ports import LibraryParts

Context = grpc.aio.ServicerContext[Any, Any]


class DocumentService(DocumentServiceServicer):
    """proto/rpc/v1/documents.proto over the handlers."""

    def __init__(self, parts: LibraryParts) -> None:
        self._parts = parts

    async def CreateDocument(self, request: pb.CreateDocumentRequest, context: Context) -> pb.CreateDocumentResponse:
        async with answering(context):
            document = await create_document(
                self._parts,
                request.document_id,
                corpus=request.corpus,
                title=request.title,
                media_type=request.media_type,
                url=request.url,
                data=request.data,
            )
            return pb.CreateDocumentResponse(document=_reply(document))

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Context) -> pb.GetDocumentResponse:
        async with answering(context):
            found = await get_document(self._parts, request.corpus, request.document_id)
            return pb.GetDocumentResponse(document=_reply(found))

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Context) -> pb.ListDocumentsResponse:
        async with answering(context):
            page = await list_documents(self._parts, request.corpus, cursor=request.cursor, limit=request.limit)
            return pb.ListDocumentsResponse(
                items=[_reply(document) for document in page.items], next_cursor=page.next_cursor
            )

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Context) -> pb.DeleteDocumentResponse:
        async with answering(context):
            await delete_document(self._parts, request.corpus, request.document_id)
            return pb.DeleteDocumentResponse()

    async def GetDocumentContent(
        self, request: pb.GetDocumentContentRequest, context: Context
    ) -> pb.GetDocumentContentResponse:
        async with answering(context):
            document, data = await get_document_content(self._parts, request.document_id)
            return pb.GetDocumentContentResponse(document=_reply(document), data=data)

    async def RecordDocument(self, request: pb.RecordDocumentRequest, context: Context) -> pb.RecordDocumentResponse:
        async with answering(context):
            await record_document(
                self._parts,
                request.document_id,
                request.state,
                done=request.done,
                total=request.total,
                error=request.error,
            )
            return pb.RecordDocumentResponse()


def _reply(document: Document) -> pb.Document:
    return pb.Document(
        id=document.id,
        corpus=document.corpus,
        title=document.title,
        media_type=document.media_type,
        url=document.url,
        size=document.size,
        state=document.state,
        done=document.done,
        total=document.total,
        error=document.error,
        created_at=rfc3339(document.created_at),
    )
