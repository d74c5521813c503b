"""The ports over the real broker."""
