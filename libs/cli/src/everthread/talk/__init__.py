"""The conversation in a terminal: a thread that is followed while one types."""
