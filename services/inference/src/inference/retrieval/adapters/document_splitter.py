"""Text out of documents, and documents into passages: plain text, Markdown, PDF.

Passages of 400 to 1,200 characters (100 to 300 tokens): long enough to be understood alone, short enough that four of them
leave room for an answer. `semantic-text-splitter` cuts at paragraphs and sentences; `pypdf` reads the text of a PDF (a
scanned one has none).
"""

import asyncio
import io
import re
from collections.abc import Iterator, Sequence
from typing import Final

from inference.retrieval.ports import Piece, UnreadableDocumentError

LEAST: Final = 400
MOST: Final = 1200
OVERLAP: Final = 100
MOST_BYTES: Final = 20 * 1024 * 1024
MOST_PAGES: Final = 2000
MOST_CHARACTERS: Final = 20_000_000
SECONDS: Final = 120.0
MEDIA_TYPES: Final = ("text/plain", "text/markdown", "application/pdf")

_HEADING: Final = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)


class DocumentSplitter:
    """Splitter for MEDIA_TYPES. Works in a thread; a document that takes longer than SECONDS is refused."""

    async def split(self, data: bytes, media_type: str) -> Sequence[Piece]:
        """The pieces in order, each with its page or heading."""
        if len(data) > MOST_BYTES:
            raise UnreadableDocumentError(f"The document has {len(data)} bytes; at most {MOST_BYTES} are taken.")
        kind = media_type.partition(";")[0].strip().lower()
        if kind not in MEDIA_TYPES:
            raise UnreadableDocumentError(f"{kind[:80] or 'No type'} is not taken; {', '.join(MEDIA_TYPES)} are.")
        try:
            async with asyncio.timeout(SECONDS):
                pieces = await asyncio.to_thread(_pieces, data, kind)
        except TimeoutError as error:
            raise UnreadableDocumentError(f"The document could not be read within {SECONDS:g} seconds.") from error
        if not pieces:
            hint = " A scanned page is a picture; run text recognition over it first." if kind == MEDIA_TYPES[2] else ""
            raise UnreadableDocumentError(f"The document has no text.{hint}")
        return pieces


def _pieces(data: bytes, kind: str) -> list[Piece]:
    if kind == "application/pdf":
        return [piece for page, text in _pdf_pages(data) for piece in _plain(text, page)]
    text = _text(data)
    return list(_markdown(text)) if kind == "text/markdown" else list(_plain(text, None))


def _text(data: bytes) -> str:
    """UTF-8, or what its byte order mark says; else the most common older encoding, in which no byte is wrong."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return _clean(data.decode(encoding, "replace"))
    if b"\x00" in data[:4096]:
        raise UnreadableDocumentError("The document is no text.")
    try:
        return _clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        return _clean(data.decode("cp1252", "replace"))


def _clean(text: str) -> str:
    return re.sub(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff]", " ", text.replace("\r\n", "\n").replace("\r", "\n"))


def _plain(text: str, page: int | None) -> Iterator[Piece]:
    from semantic_text_splitter import TextSplitter

    for chunk in TextSplitter((LEAST, MOST), overlap=OVERLAP).chunks(text):
        if chunk.strip():
            yield Piece(text=chunk, page=page)


def _markdown(text: str) -> Iterator[Piece]:
    from semantic_text_splitter import MarkdownSplitter

    headings = [(found.start(), found.group(1)[:200]) for found in _HEADING.finditer(text)]
    for start, chunk in MarkdownSplitter((LEAST, MOST), overlap=OVERLAP).chunk_indices(text):
        if not chunk.strip():
            continue
        own = _HEADING.match(chunk)
        above = [heading for place, heading in headings if place < start]
        yield Piece(text=chunk, heading=own.group(1)[:200] if own else (above[-1] if above else ""))


def _pdf_pages(data: bytes) -> Iterator[tuple[int, str]]:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableDocumentError("The PDF is protected by a password.")
        count = len(reader.pages)
        if count > MOST_PAGES:
            raise UnreadableDocumentError(f"The PDF has {count} pages; at most {MOST_PAGES} are taken.")
        length = 0
        for number in range(count):
            text = _clean(reader.pages[number].extract_text())
            length += len(text)
            if length > MOST_CHARACTERS:
                raise UnreadableDocumentError(f"The PDF has more than {MOST_CHARACTERS} characters of text.")
            yield number + 1, text
    except UnreadableDocumentError:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        # A damaged file makes the parser fail in any of these ways.
        raise UnreadableDocumentError(f"The PDF is damaged ({type(error).__name__}).") from error
