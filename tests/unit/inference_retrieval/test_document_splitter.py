"""Documents into passages."""

import io
import random

import pytest
from inference.retrieval.adapters.document_splitter import MOST, MOST_BYTES, DocumentSplitter
from inference.retrieval.ports import Piece, UnreadableDocumentError
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject


async def split(data: bytes, media_type: str = "text/plain") -> list[Piece]:
    return list(await DocumentSplitter().split(data, media_type))


def pdf(*pages: str, password: str = "") -> bytes:
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 10 200 Td ({text}) Tj ET".encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password)
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


async def test_text_is_cut_at_paragraphs() -> None:
    paragraphs = [f"Paragraph {number}. " + "It says something of its own. " * 20 for number in range(10)]
    pieces = await split("\n\n".join(paragraphs).encode())
    assert all(len(piece.text) <= MOST for piece in pieces)
    assert all(any(paragraph[:12] in piece.text for piece in pieces) for paragraph in paragraphs)
    assert all(piece.page is None and not piece.heading for piece in pieces)


async def test_markdown_keeps_the_heading_it_stands_under() -> None:
    text = "# Lamp\n\n" + "Light. " * 200 + "\n\n## Lens ##\n\n" + "Glass. " * 200
    pieces = await split(text.encode(), "text/markdown; charset=utf-8")
    assert pieces[0].heading == "Lamp"
    assert pieces[-1].heading == "Lens"
    assert {piece.heading for piece in pieces} == {"Lamp", "Lens"}


async def test_a_pdf_has_pages() -> None:
    pieces = await split(pdf("The tower is tall.", "The keeper is Ingrid."), "application/pdf")
    assert [(piece.page, piece.text) for piece in pieces] == [(1, "The tower is tall."), (2, "The keeper is Ingrid.")]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("Grüße".encode("cp1252"), "Grüße"),
        (b"a\r\nb\x07c", "a\nb c"),
    ],
)
async def test_encodings(data: bytes, text: str) -> None:
    assert [piece.text for piece in await split(data)] == [text]


@pytest.mark.parametrize(
    ("data", "media_type", "sentence"),
    [
        (b"", "text/plain", "has no text"),
        (b" \n\t", "text/markdown", "has no text"),
        (b"x", "image/png", "image/png is not taken"),
        (b"x", "", "No type is not taken"),
        (b"\x00\x01\x02", "text/plain", "is no text"),
        (b"x" * (MOST_BYTES + 1), "text/plain", "at most"),
        (b"%PDF-1.7 nothing", "application/pdf", "damaged"),
        (b"no pdf at all", "application/pdf", "damaged"),
        (pdf(""), "application/pdf", "scanned"),
        (pdf("x", password="secret"), "application/pdf", "password"),
    ],
    ids=range(10),
)
async def test_what_cannot_be_read(data: bytes, media_type: str, sentence: str) -> None:
    with pytest.raises(UnreadableDocumentError, match=sentence):
        await split(data, media_type)


@pytest.mark.filterwarnings("ignore")
async def test_no_damaged_pdf_does_more_than_be_refused() -> None:
    whole = pdf("The tower is tall.", "The keeper is Ingrid.")
    chance = random.Random(3)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 30)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        cut = bytes(data[: chance.randint(1, len(data))]) if chance.random() < 0.3 else bytes(data)
        try:
            await split(cut, "application/pdf")
        except UnreadableDocumentError:
            continue
