"""What is done with documents, one verb per file."""
