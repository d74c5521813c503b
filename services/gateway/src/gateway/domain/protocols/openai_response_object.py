"""OpenAI Responses: the response object and its output items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts import events as e
from contracts.client_tools import ClientTool, ClientTools
from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.times import parse_rfc3339
from contracts.usage import Usage

from gateway.domain.protocols.json_text import json_text, result_text

SERVER_LABEL: Final = "everthread"
STATUSES: Final = {
    "pending": "queued",
    "generating": "in_progress",
    "waiting": "in_progress",
    "complete": "completed",
    "error": "failed",
    "cancelled": "cancelled",
}


def response_id(run_id: str) -> str:
    """`resp_<ULID>` of `run_<ULID>`."""
    return "resp_" + run_id.partition("_")[2]


def run_id_of(response: str) -> str:
    """The run behind a response id; what is no response id becomes no run id."""
    return "run_" + response.removeprefix("resp_")


@dataclass(frozen=True, kw_only=True)
class About:
    """What the response object says besides its output; the same at every gateway, so it comes from stored records.

    `created_at` is RFC 3339.
    """

    run_id: str
    model: str
    created_at: str
    previous_response_id: str | None = None
    background: bool = False
    instructions: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    tools: ClientTools | None = None


def response_object(
    about: About,
    *,
    status: str,
    output: list[dict[str, Any]],
    usage: Usage | None = None,
    error: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The response object with every field that the SDKs' types require."""
    return {
        "id": response_id(about.run_id),
        "object": "response",
        "created_at": int(parse_rfc3339(about.created_at).timestamp()),
        "status": status,
        "background": about.background,
        "error": error,
        "incomplete_details": None,
        "instructions": about.instructions,
        "max_output_tokens": None,
        "metadata": dict(about.metadata),
        "model": about.model,
        "output": output,
        "parallel_tool_calls": about.tools is None or about.tools.parallel,
        "previous_response_id": about.previous_response_id,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto" if about.tools is None else _tool_choice(about.tools),
        "tools": [] if about.tools is None else [_tool(tool) for tool in about.tools.tools],
        "top_p": None,
        "truncation": "disabled",
        "usage": None if usage is None else usage_object(usage),
    }


def _tool_choice(tools: ClientTools) -> Any:
    return {"type": "function", "name": tools.named} if tools.choice == "function" else tools.choice


def _tool(tool: ClientTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    """`usage` as responses have it."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def output_items(run_id: str, parts: list[Part], status: str) -> list[dict[str, Any]]:
    """The output of a response from its stored or folded parts; `status` is the run's."""
    suffix = run_id.partition("_")[2]
    whole = {"complete": "completed", "generating": "in_progress", "waiting": "in_progress"}.get(status, "incomplete")
    output: list[dict[str, Any]] = []
    sources: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        match part:
            case TextPart():
                output.append(message_item(f"msg_{suffix}_{number}", whole, [output_text(part.text, sources)]))
                sources = []
            case ReasoningPart():
                output.append(reasoning_item(f"rs_{suffix}_{number}", whole, [reasoning_text(part.text)]))
            case SourcePart():
                last = next((item for item in reversed(output) if item["type"] == "message"), None)
                if last is None:
                    sources = [*sources, annotation_of(part)]
                else:
                    last["content"][0]["annotations"].append(annotation_of(part))
            case ToolCallPart() if part.state == "pending":
                if status == "complete":
                    output.append(function_item(f"fc_{suffix}_{number}", part))
            case ToolCallPart():
                states = {"completed": "completed", "error": "failed"}
                output.append(mcp_item(f"mcp_{suffix}_{number}", part, states.get(part.state, "incomplete")))
    return output


def failure(code: str, message: str) -> dict[str, Any]:
    """A response's `error`: OpenAI's code where there is one for it, else `server_error`; the run's own code is in the message."""
    known = {"rate_limited": "rate_limit_exceeded"}
    return {"code": known.get(code, "server_error"), "message": f"{message} ({code})"}


def message_item(identity: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """An assistant message; `status` in_progress, completed or incomplete."""
    return {"type": "message", "id": identity, "role": "assistant", "status": status, "content": content}


def output_text(text: str, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    """A message's one content part."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def reasoning_item(identity: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """What the model said to itself."""
    return {"type": "reasoning", "id": identity, "summary": [], "content": content, "status": status}


def reasoning_text(text: str) -> dict[str, Any]:
    """A reasoning item's one content part."""
    return {"type": "reasoning_text", "text": text}


def mcp_item(identity: str, call: ToolCallPart, status: str) -> dict[str, Any]:
    """A tool that Everthread runs; `status` in_progress, completed, failed or incomplete."""
    error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": call.error or ""}]}
    return {
        "type": "mcp_call",
        "id": identity,
        "server_label": SERVER_LABEL,
        "name": call.name,
        "arguments": json_text(call.input),
        "output": result_text(call.output) if status == "completed" else None,
        "error": error if status == "failed" else None,
        "status": status,
    }


def function_item(identity: str, call: ToolCallPart) -> dict[str, Any]:
    """A call that was left to the client."""
    return {
        "type": "function_call",
        "id": identity,
        "call_id": call.tool_call_id,
        "name": call.name,
        "arguments": json_text(call.input),
        "status": "completed",
    }


def annotation_of(source: e.Source | SourcePart) -> dict[str, Any]:
    """A source, as an annotation of the text it stands next to."""
    if source.url is not None:
        # Where in the text the source is used is not known: the range is empty, at its beginning.
        return {"type": "url_citation", "url": source.url, "title": source.title, "start_index": 0, "end_index": 0}
    return {"type": "file_citation", "file_id": source.source_id, "filename": source.title, "index": 0}
