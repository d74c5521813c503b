"""Embeddings without a network: WordLlama, whose weights ship in its package (MIT).

The package is imported and the weights are loaded when the first text comes: 100 MiB that a worker whose users have no
documents does not pay. 12 µs a sentence.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inference.retrieval.ports import Purpose

if TYPE_CHECKING:
    from wordllama.inference import WordLlamaInference  # type: ignore[import-untyped]  # it has no types

SIZE: Final = 256
MODEL: Final = "l2_supercat"


class WordLlamaEmbeddings:
    """Embeddings. Static vectors averaged: good for English, poor across languages; BM25 carries the rest."""

    name: Final = f"wordllama:{MODEL}-{SIZE}"
    floor: Final = 0.25

    def __init__(self) -> None:
        self._model: WordLlamaInference | None = None
        self._loading = asyncio.Lock()

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Sequence[float]]:
        """In a thread: a batch of long texts takes some milliseconds."""
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.to_thread(_load)
        return await asyncio.to_thread(_vectors, self._model, list(texts)) if texts else []

    async def dimensions(self) -> int:
        """Known without loading anything."""
        return SIZE

    async def close(self) -> None:
        """Nothing to let go of."""


def _load() -> "WordLlamaInference":
    import wordllama  # type: ignore[import-untyped]  # it has no types

    folder = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(config=MODEL, cache_dir=folder, dim=SIZE, disable_download=True)


def _vectors(model: "WordLlamaInference", texts: list[str]) -> list[list[float]]:
    import numpy as np

    # A text without a word that it knows has no average; numpy says so with a warning and NaN.
    with np.errstate(all="ignore"):
        raw: Any = np.nan_to_num(np.asarray(model.embed(texts, norm=False), dtype=np.float32))
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        found: list[list[float]] = np.divide(raw, lengths, out=np.zeros_like(raw), where=lengths > 0).tolist()
    return found
