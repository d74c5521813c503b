"""Agents: their configuration (`*.toml`) and what a model is sent. `domain` is pure; `files` reads the packaged and the
operator's files."""
