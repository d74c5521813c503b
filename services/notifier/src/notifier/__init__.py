"""Tells people and systems that are not watching."""
