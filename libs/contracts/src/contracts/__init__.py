"""Ids, events, commands, facts, subjects and topology: what the services say to each other."""
