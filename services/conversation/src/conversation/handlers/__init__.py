"""What conversation does, one verb per file, over the ports."""
