"""Tool inputs and outputs where a protocol wants text."""

import msgspec


def json_text(value: object) -> str:
    """A string as it is, anything else as its JSON. Nothing at all is an empty object: arguments are parsed as JSON."""
    if value is None:
        return "{}"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def result_text(value: object) -> str:
    """A tool's output as text: a string as it is, nothing as nothing, anything else as its JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
