"""Reading a TOML table, collecting a sentence for each value that is not what was expected."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class AgentConfigError(ValueError):
    """The agents' files cannot be used. `sentences` name file, key, value and what was expected, one for each problem."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__(" ".join(sentences))
        self.sentences = sentences


def _anything(_: str) -> str:
    return ""


class CheckedTable:
    """One table of a file. Every reader names what it wants, and returns the default where the value is wrong: the problem
    is on the list, and the caller looks at the list in the end."""

    def __init__(self, file: str, place: str, data: Mapping[str, Any], problems: list[str]) -> None:
        self._file, self._place, self._data, self._problems = file, place, data, problems
        self._asked: set[str] = set()

    def wrong(self, key: str, value: object, expected: str) -> None:
        """Note that `key` is `value` and not `expected`."""
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        self._problems.append(f"{self._file}: {self._place}{key} is {shown}, expected {expected}.")

    def _take(self, key: str) -> Any:
        self._asked.add(key)
        return self._data.get(key)

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        form: str = "",
        expected: str = "",
        check: Callable[[str], str] = _anything,
    ) -> str:
        """A text. `form`: a pattern it must match whole; `check` returns what it expected instead, or nothing."""
        value = self._take(key)
        if value is None and default is not None:
            return default
        if value is None:
            self._problems.append(f"{self._file}: {self._place}{key} is missing, expected {expected or 'a text'}.")
        elif not isinstance(value, str):
            self.wrong(key, value, expected or "a text")
        elif form and re.fullmatch(form, value) is None:
            self.wrong(key, value, expected)
        elif instead := check(value):
            self.wrong(key, value, instead)
        else:
            return value
        return default or ""

    def texts(
        self, key: str, *, default: tuple[str, ...] = (), check: Callable[[str], str] = _anything
    ) -> tuple[str, ...]:
        """A list of texts, none twice."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.wrong(key, value, "a list of texts")
            return default
        for item in value:
            instead = check(item)
            if instead:
                self.wrong(key, item, instead)
        return tuple(dict.fromkeys(value))

    def text_pairs(self, key: str) -> dict[str, str]:
        """A table of texts."""
        value = self._take(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            self.wrong(key, value, "a table of texts")
            return {}
        return value

    def number(self, key: str, *, default: float, least: float, most: float) -> float:
        """A number from `least` to `most`."""
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.wrong(key, value, f"a number from {least:g} to {most:g}")
            return default
        return float(value)

    def whole(self, key: str, *, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self.whole_or_none(key, least=least, most=most)
        return default if value is None else value

    def whole_or_none(self, key: str, *, least: int, most: int) -> int | None:
        """A whole number from `least` to `most`, or None where there is none."""
        value = self._take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.wrong(key, value, f"a whole number from {least} to {most}")
            return None
        return value

    def yes_or_no(self, key: str, *, default: bool) -> bool:
        """true or false."""
        value = self._take(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.wrong(key, value, "true or false")
        return default

    def table(self, key: str) -> "CheckedTable":
        """A table inside this one; an empty one where there is none."""
        value = self._take(key)
        if value is not None and not isinstance(value, dict):
            self.wrong(key, value, f"a table: [{self._place}{key}]")
        return CheckedTable(
            self._file, f"{self._place}{key}.", value if isinstance(value, dict) else {}, self._problems
        )

    def tables(self, key: str) -> Iterator[tuple[str, "CheckedTable"]]:
        """Tables by name inside this one: `[mcp.files]`."""
        outer = self.table(key)
        for name in outer._data:
            if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,19}", name) is None:
                outer.wrong(name, name, "a name of 1 to 20 of a-z, 0-9, _ and -")
                continue
            yield name, outer.table(name)

    def nothing_else(self) -> None:
        """Every key that nobody asked for is a mistake: a misspelled limit would be none."""
        for key in self._data.keys() - self._asked:
            near = difflib.get_close_matches(key, sorted(self._asked), n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}?" if near else f"known are: {', '.join(sorted(self._asked))}."
            self._problems.append(f"{self._file}: {self._place}{key} is set, but nothing reads it; {meant}")
