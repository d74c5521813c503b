"""Threads, messages, runs and the ledger: the only writer of MongoDB."""
