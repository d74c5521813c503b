"""Embeddings by an OpenAI-compatible `/embeddings` endpoint: OpenAI, Ollama, vLLM, llama.cpp and others."""

import math
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec
import stamina

from inference.retrieval.ports import CorpusUnavailableError, Purpose

MOST_TEXTS: Final = 64
SECONDS: Final = 30.0
TRIES: Final = 4
WORTH_ANOTHER_TRY: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int = -1


class _Answer(msgspec.Struct):
    data: list[_Vector]


_decoder: msgspec.json.Decoder[_Answer] = msgspec.json.Decoder(_Answer)


class _NotNowError(Exception):
    """The same request may succeed a little later."""


class HttpEmbeddings:
    """Embeddings. `prefixes`: what the model wants before a query or a document (`search_query: ` for some); `floor`: see
    Embeddings, it differs by model (0.2 suits OpenAI's third generation)."""

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str = "",
        prefixes: dict[Purpose, str] | None = None,
        floor: float = 0.2,
    ) -> None:
        self._url, self._model, self._api_key = f"{base_url.rstrip('/')}/embeddings", model, api_key
        self._prefixes: dict[Purpose, str] = prefixes or {}
        self.name = f"{model}@{base_url.rstrip('/').partition('://')[2]}"
        self.floor = floor
        self._size = 0
        self._session: aiohttp.ClientSession | None = None

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> Sequence[Sequence[float]]:
        """Ask in batches. An empty text is not sent (providers refuse it) and has no direction."""
        prefix = self._prefixes.get(purpose, "")
        asked = [(index, prefix + text) for index, text in enumerate(texts) if text.strip()]
        found: list[list[float]] = [[] for _ in texts]
        for start in range(0, len(asked), MOST_TEXTS):
            batch = asked[start : start + MOST_TEXTS]
            vectors = await self._ask_patiently([text for _, text in batch])
            for (index, _), vector in zip(batch, vectors, strict=True):
                found[index] = _normed(vector)
        return [vector or [0.0] * self._size for vector in found]

    async def dimensions(self) -> int:
        """As the answers have it; asks about one word if there was none yet."""
        if not self._size:
            await self._ask_patiently(["size"])
        return self._size

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask_patiently(self, texts: list[str]) -> list[list[float]]:
        try:
            async for attempt in stamina.retry_context(on=_NotNowError, attempts=TRIES, wait_initial=0.3, wait_max=5.0):
                with attempt:
                    return await self._ask(texts)
        except _NotNowError as error:
            raise CorpusUnavailableError(f"the embeddings did not answer: {error}") from error
        raise AssertionError("stamina ends with a result or an error")

    async def _ask(self, texts: list[str]) -> list[list[float]]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=SECONDS))
        headers = {"content-type": "application/json"}
        if self._api_key:
            headers["authorization"] = f"Bearer {self._api_key}"
        body = msgspec.json.encode({"model": self._model, "input": texts, "encoding_format": "float"})
        try:
            async with self._session.post(self._url, data=body, headers=headers) as response:
                data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _NotNowError(type(error).__name__) from error
        if response.status in WORTH_ANOTHER_TRY:
            raise _NotNowError(f"status {response.status}")
        if response.status != 200:
            raise CorpusUnavailableError(f"the embeddings refused with status {response.status}")
        return self._read(data, len(texts))

    def _read(self, data: bytes, expected: int) -> list[list[float]]:
        try:
            answer = _decoder.decode(data)
        except msgspec.DecodeError as error:
            raise CorpusUnavailableError("the embeddings answered something that is none") from error
        # Most say which text a vector belongs to, and not all keep the order.
        vectors = answer.data
        if sorted(vector.index for vector in vectors) == list(range(len(vectors))):
            vectors = sorted(vectors, key=lambda vector: vector.index)
        sizes = {len(vector.embedding) for vector in vectors}
        if len(vectors) != expected or len(sizes) != 1 or sizes == {0} or (self._size and sizes != {self._size}):
            raise CorpusUnavailableError(f"the embeddings answered {len(vectors)} vectors of sizes {sorted(sizes)}")
        self._size = sizes.pop()
        return [vector.embedding for vector in vectors]


def _normed(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(math.fsum(value * value for value in vector))
    return [value / length for value in vector] if length > 0 and math.isfinite(length) else [0.0] * len(vector)
