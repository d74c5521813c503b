"""Agents as data, and the fitting of a context to a model's window: pure."""
