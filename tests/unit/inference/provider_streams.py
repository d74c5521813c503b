"""What providers' streams look like, one recorded-style body for each habit, with what a reader must make of it."""

import json
from dataclasses import dataclass
from typing import Any

from contracts.usage import Usage


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """`official`: the official SDK reads it as well, so both must agree."""

    body: bytes
    text: str = "Grüße, Welt"
    reasoning: str = ""
    finish: str = "stop"
    usage: Usage | None = None
    refusal: str = ""
    tools: tuple[tuple[str, str, Any], ...] = ()
    official: bool = True


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def event(data: dict[str, Any], *, line: str = "\n", space: str = " ") -> str:
    return f"data:{space}{json.dumps(data, ensure_ascii=False)}{line}{line}"


DONE = "data: [DONE]\n\n"
TEXT = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Grüße"}), chunk({"content": ", Welt"})]
STOP = chunk({}, "stop")
TOKENS = {
    "prompt_tokens": 11,
    "completion_tokens": 7,
    "total_tokens": 18,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
COUNTED = Usage(input_tokens=11, output_tokens=7, cached_tokens=5, reasoning_tokens=3)


def body(*chunks: dict[str, Any], done: str = DONE, line: str = "\n", space: str = " ", between: str = "") -> bytes:
    return "".join([*(between + event(part, line=line, space=space) for part in chunks), done]).encode()


def tool(**fields: Any) -> dict[str, Any]:
    """One entry of tool_calls from `index id name arguments`."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "type": "function", "function": function}


def calls(*entries: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return chunk({"tool_calls": list(entries), "content": content})


TIME = ("call_a", "time", {"zone": "UTC"})
SUM = ("call_b", "sum", {"of": [1, 2]})

STREAMS: dict[str, Recorded] = {
    "openai": Recorded(body=body(*TEXT, STOP, chunk(usage=TOKENS)), usage=COUNTED),
    "crlf": Recorded(body=body(*TEXT, STOP, line="\r\n", done="data: [DONE]\r\n\r\n")),
    "no space": Recorded(body=body(*TEXT, STOP, space="", done="data:[DONE]\n\n")),
    "keep-alive comments": Recorded(body=body(*TEXT, STOP, between=": OPENROUTER PROCESSING\n\n")),
    "other fields": Recorded(body=body(*TEXT, STOP, between="id: 7\nretry: 10\n")),
    "no done": Recorded(body=body(*TEXT, STOP, done="")),
    "no last empty line": Recorded(body=body(*TEXT, STOP, done="").rstrip(b"\n"), official=False),
    "azure's first chunk": Recorded(
        body=body(chunk(prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}]), *TEXT, STOP)
    ),
    "null content with the role": Recorded(
        body=body(
            chunk({"role": "assistant", "content": None}), *TEXT[1:], chunk({}, None), chunk({"content": ""}), STOP
        )
    ),
    "usage with the finish": Recorded(body=body(*TEXT, {**STOP, "usage": TOKENS}), usage=COUNTED),
    "usage on every chunk": Recorded(
        body=body(
            *({**part, "usage": {**TOKENS, "completion_tokens": n}} for n, part in enumerate(TEXT)),
            {**STOP, "usage": TOKENS},
        ),
        usage=COUNTED,
    ),
    "null usage until the last": Recorded(
        body=body(*({**part, "usage": None} for part in TEXT), {**STOP, "usage": None}, chunk(usage=TOKENS)),
        usage=COUNTED,
    ),
    "usage in x_groq": Recorded(
        body=body(*TEXT, {**STOP, "x_groq": {"id": "r", "usage": TOKENS}}), usage=COUNTED, official=False
    ),
    "usage without details": Recorded(
        body=body(*TEXT, STOP, chunk(usage={"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18})),
        usage=Usage(input_tokens=11, output_tokens=7),
    ),
    "reasoning_content": Recorded(
        body=body(chunk({"reasoning_content": "Hm"}), chunk({"reasoning_content": "…"}), *TEXT, STOP), reasoning="Hm…"
    ),
    "reasoning": Recorded(
        body=body(chunk({"reasoning": "Hm", "content": ""}), chunk({"reasoning": "…", "content": None}), *TEXT, STOP),
        reasoning="Hm…",
    ),
    "typed parts": Recorded(
        body=body(
            chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}),
            chunk({"content": [{"type": "thinking", "thinking": "…"}, {"type": "reference", "reference_ids": [1]}]}),
            chunk({"content": [{"type": "text", "text": "Grüße"}]}),
            chunk({"content": ", Welt"}),
            STOP,
        ),
        reasoning="Hm…",
        official=False,
    ),
    "refusal": Recorded(
        body=body(chunk({"refusal": "I cannot"}), chunk({"refusal": " do that."}), STOP),
        text="",
        refusal="I cannot do that.",
    ),
    "length": Recorded(body=body(*TEXT, chunk({}, "length")), finish="length"),
    "tool calls in pieces, interleaved": Recorded(
        body=body(
            calls(tool(index=0, id="call_a", name="time", arguments="")),
            calls(tool(index=1, id="call_b", name="sum", arguments="")),
            calls(tool(index=0, arguments='{"zone":'), tool(index=1, arguments='{"of": [1,')),
            calls(tool(index=1, arguments=" 2]}")),
            calls(tool(index=0, arguments='"UTC"}')),
            chunk({}, "tool_calls"),
        ),
        text="",
        finish="tool_calls",
        tools=(TIME, SUM),
    ),
    "tool calls whole, all numbered 0": Recorded(
        body=body(
            calls(tool(index=0, id="call_a", name="time", arguments='{"zone":"UTC"}')),
            calls(tool(index=0, id="call_b", name="sum", arguments='{"of":[1,2]}')),
            chunk({}, "stop"),
        ),
        text="",
        tools=(TIME, SUM),
        official=False,
    ),
    "tool calls without index, empty id on continuation": Recorded(
        body=body(
            calls(tool(id="call_a", name="time", arguments='{"zone":')),
            calls(tool(id="", name="", arguments='"UTC"}')),
            calls(tool(id="call_b", name="sum", arguments={"of": [1, 2]})),
            chunk({}, "tool_calls"),
        ),
        text="",
        finish="tool_calls",
        tools=(TIME, SUM),
        official=False,
    ),
    "tool arguments that are no json": Recorded(
        body=body(calls(tool(index=0, id="call_a", name="time", arguments='{"zone"')), chunk({}, "tool_calls")),
        text="",
        finish="tool_calls",
        tools=(("call_a", "time", '{"zone"'),),
    ),
    "characters in halves": Recorded(
        body=(
            event(chunk({"content": "Gr"}))
            + event(chunk({"content": "HIGH"})).replace("HIGH", "\\ud83d")
            + event(chunk({"content": "LOW!"})).replace("LOW", "\\ude00")
            + event(chunk({"content": "LOW."})).replace("LOW", "\\ude00")
            + event(STOP)
            + DONE
        ).encode(),
        text="Gr😀!�.",
        official=False,
    ),
    "one whole json object": Recorded(
        body=json.dumps(
            {
                "id": "c1",
                "object": "chat.completion",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "Grüße, Welt"}, "finish_reason": "stop"}
                ],
                "usage": TOKENS,
            }
        ).encode(),
        usage=COUNTED,
        official=False,
    ),
}
