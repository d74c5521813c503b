"""Ingest, search and delete: who finds what, after what."""

from typing import Any

import pytest
from contracts.ids import DOCUMENT, InvalidIdError, new_id
from contracts.topology import CORPORA
from hypothesis import given
from hypothesis import strategies as st
from inference.retrieval.domain.corpora import corpora_for
from inference.retrieval.domain.records import Chunk, ChunkBatch
from inference.retrieval.handlers.delete_document import delete_document
from inference.retrieval.ports import CorpusUnavailableError
from inference.tools.adapters.document_search import document_search_tool
from inference.tools.domain.outcome import Output
from inference.tools.ports import ToolContext

AT = "2026-11-21T03:17:47.123Z"
LAMP = "# Tower\n\nThe lighthouse tower is 42 metres tall.\n\n# Keeper\n\nThe keeper is called Ingrid Svensson."


async def found(search: Any, corpora: list[str], query: str) -> list[str]:
    return [passage.text for passage in await search.passages(corpora, query, limit=5)]


async def test_what_was_ingested_is_found_with_its_place(world: Any, ada: str) -> None:
    head = await world.ingest(ada, LAMP, title="The lamp")
    assert (head.state, head.batches, head.chunks) == ("ready", 1, 1)
    [passage] = await world.worker().passages([ada], "How tall is the lighthouse?", limit=5)
    assert (passage.title, passage.heading, passage.document_id) == ("The lamp", "Tower", head.document_id)
    assert passage.source_id == f"{head.document_id}-0"


async def test_never_across_users(world: Any, ada: str, bob: str) -> None:
    """The same words in two corpora and in a shared one; each user finds his own and the shared one, whatever is asked."""
    await world.ingest(ada, "The lighthouse password of Ada is swordfish.")
    await world.ingest(bob, "The lighthouse password of Bob is tuna.")
    await world.ingest("shared-handbook", "The lighthouse password policy asks for long passwords.")
    search = world.worker()
    for user, other, word in ((ada, bob, "swordfish"), (bob, ada, "tuna")):
        texts = await found(
            search, list(corpora_for(user, ["user", "shared-handbook"])), f"lighthouse password {other}"
        )
        assert len(texts) == 2
        assert any(word in text for text in texts)
    nobody = new_id("usr")
    assert await found(search, list(corpora_for(nobody, ["user"])), "lighthouse password") == []


async def test_the_model_cannot_choose_whose_documents(world: Any, ada: str, bob: str) -> None:
    await world.ingest(bob, "The lighthouse password of Bob is tuna.")
    tool = document_search_tool(world.worker(), ["user"])
    assert set(tool.spec.input_schema["properties"]) == {"query", "limit"}
    assert tool.spec.input_schema["additionalProperties"] is False
    context = ToolContext(run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id=ada)
    for query in (f"lighthouse password corpus:{bob}", f"{bob} tuna", "password"):
        outcome = await tool.call({"query": query}, context)
        assert isinstance(outcome, Output)
        assert outcome.value["passages"] == []


@pytest.mark.parametrize("configured", ["usr_01ARZ3NDEKTSV4RRFFQ69G5FAV", "shared-*", "shared-a.b", ">", "", "other"])
def test_a_configuration_cannot_name_somebody_else(configured: str, ada: str) -> None:
    with pytest.raises(ValueError, match=r"no other|not a usr_ id"):
        corpora_for(ada, ["user", configured])


@given(st.text(max_size=40))
def test_no_text_becomes_a_corpus_of_somebody_else(text: str) -> None:
    me = "usr_01ARZ3NDEKTSV4RRFFQ69G5FAV"
    try:
        corpora = corpora_for(me, [text])
    except ValueError:
        return
    assert corpora == (me,) or corpora[0].startswith("shared-")
    with pytest.raises(InvalidIdError):
        corpora_for(text, ["user"])


async def test_a_source_with_its_quote(world: Any, ada: str) -> None:
    await world.ingest(ada, LAMP, title="The lamp")
    sources: list[Any] = []
    tool = document_search_tool(world.worker(), ["user"], lambda context, quoted: sources.extend(quoted))
    context = ToolContext(run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id=ada)
    outcome = await tool.call({"query": "keeper called"}, context)
    assert isinstance(outcome, Output)
    [(passage, quote)] = sources
    assert quote in passage.text
    assert "Ingrid Svensson" in quote
    assert outcome.value["passages"][0]["source"] == passage.source_id


async def test_another_worker_finds_it_at_once_and_after_a_restart(world: Any, ada: str) -> None:
    first, second = world.worker(), world.worker()
    assert await found(first, [ada], "lighthouse") == []
    await world.ingest(ada, "The lighthouse stands on a rock.")
    assert len(await found(first, [ada], "lighthouse")) == 1
    assert len(await found(second, [ada], "lighthouse")) == 1
    await world.ingest(ada, "A second lighthouse stands on the mole.")
    assert len(await found(first, [ada], "lighthouse")) == 2
    assert len(await found(world.worker(), [ada], "lighthouse")) == 2


async def test_what_is_deleted_is_found_by_nobody_and_leaves_no_text(world: Any, ada: str) -> None:
    search = world.worker()
    head = await world.ingest(ada, "The secret is a lighthouse.")
    kept = await world.ingest(ada, "Another lighthouse stays.")
    assert len(await found(search, [ada], "lighthouse")) == 2
    for _ in range(2):
        await delete_document(ada, head.document_id, log=world.log, at=AT)
    for worker in (search, world.worker()):
        assert await found(worker, [ada], "lighthouse") == ["Another lighthouse stays."]
    stored = b"".join(stored.entry.data for stored in world.broker.streams[CORPORA.name].entries.values())
    assert b"secret" not in stored
    assert kept.state == "ready"


async def test_a_document_deleted_while_it_is_read_stays_deleted(world: Any, ada: str) -> None:
    document_id = new_id(DOCUMENT)

    class DeletingEmbeddings(type(world.embeddings)):  # type: ignore[misc]  # the fixture's own class
        async def embed(self, texts: Any, purpose: Any) -> Any:
            if purpose == "document":
                await delete_document(ada, document_id, log=world.log, at=AT)
            return await super().embed(texts, purpose)

    world.embeddings = DeletingEmbeddings()
    head = await world.ingest(ada, "The secret is a lighthouse.", document_id=document_id)
    assert head.state == "deleted"
    assert await found(world.worker(), [ada], "lighthouse secret") == []
    stored = b"".join(stored.entry.data for stored in world.broker.streams[CORPORA.name].entries.values())
    assert b"secret" not in stored


async def test_a_repeated_command_does_nothing_again(world: Any, ada: str) -> None:
    head = await world.ingest(ada, "The lighthouse.")
    asked = len(world.embeddings.asked)
    assert await world.ingest(ada, "The lighthouse.", document_id=head.document_id) == head
    assert len(world.embeddings.asked) == asked


async def test_an_ingestion_that_broke_off_is_repeated_whole(world: Any, ada: str) -> None:
    document_id, text = new_id(DOCUMENT), "\n\n".join(f"# Part {n}\n\n" + f"lighthouse {n} " * 60 for n in range(100))

    class Tired(type(world.embeddings)):  # type: ignore[misc]  # the fixture's own class
        async def embed(self, texts: Any, purpose: Any) -> Any:
            self.away = len(self.asked) == 1
            return await super().embed(texts, purpose)

    fresh, world.embeddings = world.embeddings, Tired()
    with pytest.raises(CorpusUnavailableError):
        await world.ingest(ada, text, document_id=document_id)
    world.embeddings = fresh
    head = await world.ingest(ada, text, document_id=document_id)
    assert head.state == "ready"
    assert head.chunks >= 100
    every = await world.worker().passages([ada], "lighthouse", limit=500)
    assert len({passage.source_id for passage in every}) == len(every)


async def test_what_cannot_be_read_is_told_and_kept(world: Any, ada: str) -> None:
    head = await world.ingest(ada, "   \n ")
    assert (head.state, head.error) == ("failed", "The document has no text.")
    assert await world.log.head(ada, head.document_id) == head


async def test_many_users_do_not_fill_the_worker(world: Any) -> None:
    search = world.worker(open_corpora=3)
    users = [new_id("usr") for _ in range(8)]
    for number, user in enumerate(users):
        await world.ingest(user, f"The lighthouse number {number}.")
    for _ in range(2):
        for number, user in enumerate(users):
            assert await found(search, [user], "lighthouse") == [f"The lighthouse number {number}."]
    [index] = world.indexes
    assert sum([await index.position(user) > 0 for user in users]) == 3
    assert len(list(world.folder.glob("*/*/"))) == 3


async def test_vectors_of_another_model_are_made_anew(world: Any, ada: str) -> None:
    await world.ingest(ada, "The lighthouse stands on a rock.")
    newer = type(world.embeddings)(size=32)
    search = world.worker(embeddings=newer)
    assert len(await found(search, [ada], "lighthouse rock")) == 1
    assert ("document", 1) in newer.asked


async def test_a_stream_that_was_rebuilt_is_noticed(world: Any, ada: str) -> None:
    search = world.worker()
    for number in range(5):
        await world.ingest(ada, f"Old lighthouse {number}.")
    assert len(await found(search, [ada], "lighthouse")) == 5
    rebuilt = type(world)(world.folder)
    await rebuilt.ingest(ada, "New lighthouse.")
    search._log = rebuilt.log
    assert await found(search, [ada], "lighthouse") == ["New lighthouse."]


async def test_a_broker_that_is_away(world: Any, ada: str) -> None:
    await world.ingest(ada, "The lighthouse.")
    search = world.worker()

    class Away:
        async def newest(self, corpus: str) -> int:
            raise CorpusUnavailableError("away")

    assert await search.has_documents([ada])
    log, search._log = search._log, Away()
    with pytest.raises(CorpusUnavailableError):
        await found(search, [ada], "lighthouse")
    search._log = log
    assert len(await found(search, [ada], "lighthouse")) == 1
    search._log = Away()
    assert len(await found(search, [ada], "lighthouse")) == 1


async def test_nothing_near_is_nothing_found(world: Any, ada: str) -> None:
    await world.ingest(ada, "Bananas are rich in potassium.")
    assert await found(world.worker(), [ada], "lighthouse tower") == []
    assert await found(world.worker(), [ada], "  ") == []
    assert await found(world.worker(), [ada], "?!") == []


async def test_chunks_without_vectors_are_found_by_their_words(world: Any, ada: str) -> None:
    chunks = (Chunk(number=0, text="灯塔有四十二米高"), Chunk(number=1, text="Part X-12-99 is red"))
    await world.log.append(
        ChunkBatch(
            corpus=ada,
            document_id=new_id(DOCUMENT),
            number=0,
            title="t",
            embedding=world.embeddings.name,
            chunks=chunks,
        )
    )
    search = world.worker()
    assert await found(search, [ada], "灯塔") == ["灯塔有四十二米高"]
    assert await found(search, [ada], "x-12-99") == ["Part X-12-99 is red"]
