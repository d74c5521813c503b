"""What an OpenAI client sends of tools: the tools themselves as both interfaces want them, an answer that asks, a result."""

from typing import Any


def chat_tool(name: Any = "look", **more: Any) -> dict[str, Any]:
    """A tool as chat.completions wants it."""
    return {"type": "function", "function": {"name": name, **more}}


def tool(name: Any = "look", **more: Any) -> dict[str, Any]:
    """A tool as responses wants it."""
    return {"type": "function", "name": name, **more}


def asks(*ids: str) -> dict[str, Any]:
    """An assistant's message that asks for `look` once for each id."""
    calls = [{"id": one, "type": "function", "function": {"name": "look", "arguments": "{}"}} for one in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def tells(call: str, **more: Any) -> dict[str, Any]:
    """A call's result."""
    return {"role": "tool", "tool_call_id": call, "content": "blue", **more}
