"""Text extraction, embeddings, engines and the stream. Built in bootstrap only."""
