"""Chunks, corpora, ranking and quotes: pure."""
