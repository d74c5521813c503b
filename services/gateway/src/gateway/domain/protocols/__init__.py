"""From the run log to each client protocol's frames: one file per protocol, each a pure function of the log."""
