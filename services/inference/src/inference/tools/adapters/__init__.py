"""The kinds of tools. Built in bootstrap only."""
