"""One verb per file; they know the domain and the ports."""
