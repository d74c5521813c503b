"""What the services say to each other: ids, events, commands, facts, subjects and topology. Pure: no I/O, no SDK."""
