"""What the worker does, one verb per file."""
