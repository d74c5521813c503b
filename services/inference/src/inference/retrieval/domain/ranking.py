"""One ranking out of several: dense and BM25, over one or more corpora.

Scores of one kind are comparable across corpora, scores of different kinds are not. So the lists of one kind are merged by
score and the two kinds by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009, with their k = 60).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

RRF_K: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk found. `score` is what ranked it: a similarity, a BM25 score, or after `rank` the fused one."""

    corpus: str
    document_id: str
    number: int
    title: str
    text: str
    score: float
    url: str | None = None
    page: int | None = None
    heading: str = ""

    @property
    def source_id(self) -> str:
        """Names the passage for good: the document and the number of the chunk."""
        return f"{self.document_id}-{self.number}"


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one corpus has for a query: the nearest by vector and the best by BM25, best first."""

    dense: Sequence[Passage]
    sparse: Sequence[Passage]


def rank(found: Iterable[Candidates], *, limit: int, floor: float) -> list[Passage]:
    """The best `limit` passages of all corpora. `floor` is the similarity below which a passage that shares no word with the
    query is no answer to it: nearest is not near."""
    every = list(found)
    dense = sorted((passage for each in every for passage in each.dense if passage.score >= floor), key=_by_score)
    sparse = sorted((passage for each in every for passage in each.sparse if passage.score > 0), key=_by_score)
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for ranked in (dense, sparse):
        for place, passage in enumerate(ranked, start=1):
            scores[passage.source_id] = scores.get(passage.source_id, 0.0) + 1 / (RRF_K + place)
            passages[passage.source_id] = passage
    best = sorted(scores, key=lambda source_id: (-scores[source_id], source_id))[:limit]
    return [_with_score(passages[source_id], scores[source_id]) for source_id in best]


def _by_score(passage: Passage) -> tuple[float, str]:
    return -passage.score, passage.source_id


def _with_score(passage: Passage, score: float) -> Passage:
    return Passage(
        corpus=passage.corpus,
        document_id=passage.document_id,
        number=passage.number,
        title=passage.title,
        text=passage.text,
        score=round(score, 6),
        url=passage.url,
        page=passage.page,
        heading=passage.heading,
    )
