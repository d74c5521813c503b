"""A wait as a form: one question after the other until there is an answer that fits, typed line by line."""

from typing import Any, Final

from contracts import events as e

from everthread.answering import choices, decision_of, value_for
from everthread.screen import printable


class Form:
    """What one wait of one run asks. `label` is the question that the next line answers."""

    def __init__(self, wait: e.RunWaiting) -> None:
        self.wait: Final = wait
        self.approves: Final = wait.reason == "approval"
        self.answer: Any = None
        """The whole answer once `take` has said so: JSON, or `(approved, note)` where it is an approval."""
        self._fields = _fields(wait.schema)
        self._given: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """What stands before the line."""
        if self.approves:
            return "approve? [y/n, or n and why] "
        if self._fields:
            name, schema, required = self._fields[len(self._given)]
            title = str(schema.get("title") or name) if isinstance(schema, dict) else name
            return f"{printable(title)}{'' if required else ' (may be empty)'} {choices(schema)}> "
        return f"{choices(self.wait.schema)}answer> "

    def take(self, line: str) -> bool:
        """The person's line; whether the answer is whole now. Raises ValueError with what is wrong, and asks again then."""
        # Enter may have been meant for a message: the question came up under the person's finger.
        if not line.strip() and not self._optional:
            raise ValueError("an answer is needed")
        if self.approves:
            decided = decision_of(line)
            if decided is None:
                raise ValueError("say y or n")
            self.answer = decided
            return True
        if not self._fields:
            self.answer = value_for(self.wait.schema, line)
            return True
        name, schema, required = self._fields[len(self._given)]
        if not line.strip() and not required:
            self._given[name] = None
        else:
            self._given[name] = value_for(schema, line)
        if len(self._given) < len(self._fields):
            return False
        self.answer = {name: value for name, value in self._given.items() if value is not None}
        return True

    @property
    def _optional(self) -> bool:
        return bool(self._fields) and not self._fields[len(self._given)][2]

    def once_more(self) -> None:
        """The answer did not arrive: ask its last question once more."""
        if self._given:
            self._given.popitem()
        self.answer = None

    def again(self) -> None:
        """The answer was refused: ask from the beginning."""
        self._given, self.answer = {}, None


def _fields(schema: Any) -> list[tuple[str, Any, bool]]:
    """The properties to ask one by one; none where the answer is one value."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return []
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(properties) < 2:
        return []
    required = schema.get("required", [])
    return [(str(name), inner, name in required) for name, inner in properties.items()]
