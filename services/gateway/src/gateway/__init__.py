"""Client connections, authentication, choice of path, one adapter per client protocol."""
