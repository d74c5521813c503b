"""What the stream CORPORA holds: for each document a head, and its chunks in batches, each on a subject of its own.

A subject keeps its newest entry only. Deleting a document adds a mark on a subject of its own, which nothing replaces, and
empties its batches: whoever builds an index later must learn that a late batch belongs to a document that is gone.
MessagePack, as vectors are bytes.
"""

from array import array
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

DocumentState = Literal["ready", "failed", "deleted"]
BATCH: Final = 64
"""Chunks in one entry."""


class Chunk(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A passage. `number` counts from 0 in the document, `page` from 1; `heading` is the one it stands under. `vector` is
    little-endian float32, empty for a text that has none (no word that the embedding knows)."""

    number: int
    text: str
    page: int | None = None
    heading: str = ""
    vector: bytes = b""


class ChunkBatch(msgspec.Struct, tag_field="type", tag="chunks", kw_only=True, frozen=True, omit_defaults=True):
    """Some chunks of a document. `embedding` names what made the vectors: those of another are of no use to a query."""

    corpus: str
    document_id: str
    number: int
    title: str
    embedding: str
    url: str | None = None
    chunks: tuple[Chunk, ...] = ()


class DocumentHead(msgspec.Struct, tag_field="type", tag="head", kw_only=True, frozen=True, omit_defaults=True):
    """A document that is done with: searchable, failed (`error` is a sentence for a person) or deleted."""

    corpus: str
    document_id: str
    state: DocumentState
    title: str
    at: str
    url: str | None = None
    media_type: str = ""
    size: int = 0
    batches: int = 0
    chunks: int = 0
    error: str = ""


Record = ChunkBatch | DocumentHead

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """The bytes of an entry."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """Read an entry back; raises msgspec.ValidationError or msgspec.DecodeError."""
    return _decoder.decode(data)


def pack_vector(values: Sequence[float]) -> bytes:
    """A vector as bytes; empty for one that is all zeros, which points nowhere."""
    return array("f", values).tobytes() if any(values) else b""


def unpack_vector(data: bytes) -> list[float]:
    """The vector again."""
    values = array("f")
    values.frombytes(data)
    return values.tolist()
