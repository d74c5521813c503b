"""What a tool is and what can come of a call: pure."""
