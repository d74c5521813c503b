"""Where retrieval's adapters meet its handlers; part of inference.bootstrap."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from bus.api import Bus, Subscriber
from contracts.registry import Registry
from runtime.process import ConfigurationError

from inference.entrypoints.document_commands import document_commands_subscriber
from inference.retrieval.adapters.bus_corpus_log import BusCorpusLog
from inference.retrieval.adapters.document_splitter import DocumentSplitter
from inference.retrieval.adapters.edge_index import EdgeIndex
from inference.retrieval.adapters.grpc_uploads import GrpcUploads
from inference.retrieval.adapters.http_embeddings import HttpEmbeddings
from inference.retrieval.adapters.server_index import ServerIndex
from inference.retrieval.adapters.wordllama_embeddings import WordLlamaEmbeddings
from inference.retrieval.handlers.read_uploads import UploadReader
from inference.retrieval.handlers.search_corpora import Search
from inference.retrieval.ports import Embeddings, Index
from inference.settings import InferenceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """`search` finds passages; `commands` is the subscriber of contracts.topology.READ."""

    search: Search
    commands: Subscriber
    embeddings: Embeddings
    index: Index

    async def close(self) -> None:
        """Let go of connections, weights and files."""
        await self.index.close()
        await self.embeddings.close()


def open_retrieval(
    settings: InferenceSettings, registry: Registry, bus: Bus, channel: grpc.aio.Channel, stamp: Callable[[], str]
) -> Retrieval:
    """Nothing is loaded or connected before the first document or search. Raises ConfigurationError for settings that contradict
    each other."""
    embeddings = _embeddings(settings, registry)
    index: Index
    if settings.qdrant_url:
        index = ServerIndex(
            settings.qdrant_url, embeddings.name, embeddings.dimensions, api_key=settings.qdrant_api_key.strip()
        )
    else:
        index = EdgeIndex(embeddings.dimensions)
    log = BusCorpusLog(bus)
    reader = UploadReader(
        uploads=GrpcUploads(channel), log=log, splitter=DocumentSplitter(), embeddings=embeddings, stamp=stamp
    )
    return Retrieval(
        search=Search(log, index, embeddings),
        commands=document_commands_subscriber(reader),
        embeddings=embeddings,
        index=index,
    )


def _embeddings(settings: InferenceSettings, registry: Registry) -> Embeddings:
    if not settings.embeddings_model:
        return WordLlamaEmbeddings()
    name, _, model = settings.embeddings_model.partition(":")
    provider = registry.providers.get(name)
    if provider is None or not provider.base_url:
        raise ConfigurationError(
            f"EVERTHREAD_EMBEDDINGS_MODEL is {settings.embeddings_model!r}, but models.toml has no provider {name!r} with an "
            "address; expected provider:model, or nothing for the embedded one"
        )
    key = os.environ.get(provider.api_key_env, "").strip() if provider.api_key_env else ""
    return HttpEmbeddings(provider.base_url, model, api_key=key, floor=settings.embeddings_floor)
