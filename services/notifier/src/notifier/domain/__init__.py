"""Pure: what a fact means to the person it concerns."""
