"""Text for viewers whose protocol can only append: what they were shown, against what the log says now.

After a retraction the regenerated text is held back as long as it repeats what was shown, so that a regeneration with the
same words is not seen at all; the first different character is a divergence, which each protocol expresses in its own way
(docs/adr/0006-retraction-in-protocols-without-one.md).
"""


class ShownText:
    """One append-only text. `diverged` is final: the log can no longer become a continuation of what was shown."""

    def __init__(self) -> None:
        self.diverged = False
        self._shown: list[str] = []
        self._text = ""
        self._matched = -1

    @property
    def shown(self) -> str:
        """All that was shown so far."""
        return "".join(self._shown)

    @property
    def complete(self) -> bool:
        """Nothing shown is missing from the log: the viewer has exactly the log's text."""
        return not self.diverged and self._matched < 0

    def take_back(self, keep: str) -> None:
        """The log's text is now `keep`, which viewers may have more of than that, or other text than that."""
        self._text = self.shown
        self.diverged = self.diverged or not self._text.startswith(keep)
        self._matched = len(keep) if len(keep) < len(self._text) else -1

    def add(self, delta: str) -> str:
        """The log's text grew by `delta`; what of it is new to the viewer."""
        if self._matched < 0:
            self._shown.append(delta)
            return delta
        if self.diverged:
            return ""
        expected = self._text[self._matched : self._matched + len(delta)]
        if not delta.startswith(expected):
            self.diverged = True
            return ""
        self._matched += len(expected)
        if self._matched < len(self._text):
            return ""
        self._matched = -1
        new = delta[len(expected) :]
        if new:
            self._shown.append(new)
        return new
