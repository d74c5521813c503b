"""HTTP and event streams."""
