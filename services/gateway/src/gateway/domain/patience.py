"""How long a person waits while the broker is away. A restart of it, which takes a second or three, is ridden out."""

from typing import Final

LOOK_SECONDS: Final = 2.0
"""Where what was last stored in the database is an answer as well."""
ANSWER_SECONDS: Final = 5.0
"""Where only the broker has the answer."""
COMMAND_SECONDS: Final = 4.0
"""For the broker to confirm a command; whoever gives one has looked at the run before."""
