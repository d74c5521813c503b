"""Documents as the gateway knows them, and who may do what with which corpus."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.codes import Code
from contracts.ids import InvalidIdError, check_corpus

from gateway.domain.identity import Principal
from gateway.domain.problems import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document without its content. `state` is pending, reading, ready or failed; `done` and `total` count passages."""

    id: str
    corpus: str
    title: str
    media_type: str
    url: str
    size: int
    state: str
    done: int
    total: int
    error: str
    created_at: str


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """Some of a corpus's documents; an empty cursor says that these are the last."""

    items: Sequence[Document]
    next_cursor: str


def corpus_to_read(caller: Principal, asked: str) -> str:
    """The corpus that a caller means: their own, or a shared one, which everybody may read. Raises Refusal."""
    if not asked:
        return caller.user_id
    try:
        corpus = check_corpus(asked)
    except InvalidIdError:
        raise Refusal(
            Code.QUERY_INVALID, "A corpus is `shared-` and a name of a-z, 0-9 and -; leave it out for your own."
        ) from None
    if corpus != caller.user_id and not corpus.startswith("shared-"):
        raise Refusal(Code.DOCUMENT_NOT_FOUND, "There is no such document.")
    return corpus


def corpus_to_write(caller: Principal, asked: str) -> str:
    """Likewise to write: shared corpora are the administrators'. Raises Refusal."""
    corpus = corpus_to_read(caller, asked)
    if corpus != caller.user_id and caller.role != "admin":
        raise Refusal(Code.FORBIDDEN, "Shared documents are changed by administrators only.")
    return corpus
