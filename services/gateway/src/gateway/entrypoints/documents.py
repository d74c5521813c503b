"""Documents that answers rest on: uploaded as they are, read in the background."""

from typing import Annotated, Final

from contracts.codes import Code
from contracts.ids import DOCUMENT, InvalidIdError, check_id, derived_id
from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel

from gateway.domain.documents import Document, corpus_to_read, corpus_to_write
from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal
from gateway.entrypoints.keys import Key
from gateway.entrypoints.wiring import Wiring, principal_of, wiring_of
from gateway.ports import Documents

router = APIRouter(prefix="/v1", tags=["documents"])

PATH: Final = "/v1/documents"
"""Where bodies are documents and not JSON, and larger than others."""
MEDIA_TYPES: Final = ("text/plain", "text/markdown", "application/pdf")

Caller = Annotated[Principal, Depends(principal_of)]
Corpus = Annotated[str, Query(max_length=60, description="`shared-<name>`; left out: your own documents.")]


class DocumentView(BaseModel):
    """A document. `state` is pending, reading, ready or failed; `done` of `total` passages are searchable."""

    id: str
    corpus: str
    title: str
    media_type: str
    url: str | None
    size: int
    state: str
    done: int
    total: int
    error: str | None
    created_at: str


class DocumentPageView(BaseModel):
    """Some documents, the newest first."""

    items: list[DocumentView]
    next_cursor: str | None


def documents_of(wiring: Annotated[Wiring, Depends(wiring_of)]) -> Documents:
    """The documents; refused where this installation has none."""
    if wiring.documents is None:
        raise Refusal(Code.NOT_FOUND, "This installation keeps no documents.")
    return wiring.documents


def document_id_of(document_id: Annotated[str, Path()]) -> str:
    """The document's id out of the path; what cannot be an id names no document."""
    try:
        return check_id(DOCUMENT, document_id)
    except InvalidIdError as error:
        raise Refusal(Code.DOCUMENT_NOT_FOUND, "There is no such document.") from error


Behind = Annotated[Documents, Depends(documents_of)]
DocumentId = Annotated[str, Depends(document_id_of)]

_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in MEDIA_TYPES},
    }
}


@router.post("/documents", status_code=202, openapi_extra=_BODY)
async def create_document(
    caller: Caller,
    documents: Behind,
    request: Request,
    key: Key,
    title: Annotated[str, Query(min_length=1, max_length=300, description="What sources name it by.")],
    corpus: Corpus = "",
    url: Annotated[str, Query(max_length=2000, description="Where a reader finds it.")] = "",
) -> DocumentView:
    """Upload a document: the body is its content. It is stored when this answers, and read soon after. A key is kept as long as
    its document."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise Refusal(Code.CONTENT_TYPE_UNSUPPORTED, f"Documents are {', '.join(MEDIA_TYPES)}.")
    document = await documents.create(
        caller.user_id,
        derived_id(DOCUMENT, caller.user_id, key) if key else "",
        corpus=corpus_to_write(caller, corpus),
        title=title,
        media_type=media_type,
        url=url,
        data=await request.body(),
    )
    return _view(document)


@router.get("/documents")
async def list_documents(
    caller: Caller,
    documents: Behind,
    corpus: Corpus = "",
    cursor: Annotated[str, Query(max_length=64, description="`next_cursor` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=200, description="Items per page.")] = 50,
) -> DocumentPageView:
    """List documents, newest first."""
    if cursor:
        document_id_of(cursor)
    page = await documents.of(corpus_to_read(caller, corpus), cursor=cursor, limit=limit)
    return DocumentPageView(items=[_view(item) for item in page.items], next_cursor=page.next_cursor or None)


@router.get("/documents/{document_id}")
async def get_document(caller: Caller, documents: Behind, document_id: DocumentId, corpus: Corpus = "") -> DocumentView:
    """One document, and how far it is read."""
    return _view(await documents.get(corpus_to_read(caller, corpus), document_id))


@router.delete("/documents/{document_id}", status_code=204)
async def delete_document(caller: Caller, documents: Behind, document_id: DocumentId, corpus: Corpus = "") -> None:
    """Delete a document. No later answer finds it; answers that quoted it keep their quotes."""
    await documents.delete(corpus_to_write(caller, corpus), document_id)


def _view(document: Document) -> DocumentView:
    return DocumentView(
        id=document.id,
        corpus=document.corpus,
        title=document.title,
        media_type=document.media_type,
        url=document.url or None,
        size=document.size,
        state=document.state,
        done=document.done,
        total=document.total,
        error=document.error or None,
        created_at=document.created_at,
    )
