"""Threads, messages, runs, users and what may happen to them. Pure: time and ids come in as arguments."""
