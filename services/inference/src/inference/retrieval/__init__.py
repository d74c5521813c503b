"""Retrieval: documents become chunks with vectors on the stream CORPORA; each worker searches an index built from it.

`domain` is pure. `handlers` ingest, delete and search. `adapters` hold the text extraction, the embeddings, the index engine
and the stream.
"""
