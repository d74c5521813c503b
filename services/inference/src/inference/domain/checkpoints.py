"""When a run's state is written into its log as a snapshot: at 4 KiB of text, 8, 16, …

Each is as long as all text before it, so all snapshots together are at most twice the text (plus the last one).
"""

FIRST_BYTES = 4 * 1024


class CheckpointSchedule:
    """Asked after every append with the size of the text so far."""

    def __init__(self, size: int = 0) -> None:
        self._next = FIRST_BYTES
        self.is_due(size)

    def is_due(self, size: int) -> bool:
        """Whether a snapshot shall be written now; says so once for each threshold that was passed."""
        if size < self._next:
            return False
        while self._next <= size:
            self._next *= 2
        return True
