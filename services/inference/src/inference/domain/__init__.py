"""What to do next, decided without I/O: takeover plans, joining, schedules, estimates, failures."""
