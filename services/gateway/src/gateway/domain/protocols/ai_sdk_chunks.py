"""UI message chunks of the Vercel AI SDK, each made from what it tells; when they are sent is ai_sdk.py's subject."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from contracts import events as e
from contracts.parts import Part, ReasoningPart, SourcePart, TextPart, ToolCallPart
from contracts.run_state import RunState, Waiting

from gateway.domain.protocols.waits import asked_calls

Chunk = dict[str, Any]
NAMESPACE: Final = "everthread"
"""Key of `providerMetadata`, where the SDK lets a provider add what it has no field for."""


def part_chunks(value: Part, agent: str | None, identity: str, *, still_open: bool) -> list[Chunk]:
    """A whole part, left open where more is to come."""
    match value:
        case TextPart() | ReasoningPart():
            kind = "text" if isinstance(value, TextPart) else "reasoning"
            chunks = [with_agent({"type": f"{kind}-start", "id": identity}, agent)]
            if value.text:
                chunks.append({"type": f"{kind}-delta", "id": identity, "delta": value.text})
            return chunks if still_open else [*chunks, {"type": f"{kind}-end", "id": identity}]
        case ToolCallPart():
            return [call_chunk(value, agent), *result_chunks(value)]
        case SourcePart():
            return [source_chunk(value)]


def waiting_chunks(wait: e.RunWaiting | Waiting, calls: Iterable[ToolCallPart]) -> tuple[list[Chunk], list[str]]:
    """What a wait looks like, and the approvals that it asks for: they end the response, and are answered by a new one."""
    if asked := asked_calls(wait, calls):
        return [
            {"type": "tool-approval-request", "approvalId": wait.wait_id or call, "toolCallId": call} for call in asked
        ], [wait.wait_id or call for call in asked]
    data: dict[str, Any] = {"reason": wait.reason}
    if wait.schema is not None:
        data["schema"] = wait.schema
    if wait.expires_at is not None:
        data["expires_at"] = wait.expires_at
    if wait.wait_id:
        data["wait_id"] = wait.wait_id
    if wait.prompt:
        data["prompt"] = wait.prompt
    return [waiting_data(data)], []


def end_chunks(event: e.Terminal, finish_reason: str) -> list[Chunk]:
    """The end of a response for the end of the run; `finish_reason` is that of one that completed."""
    metadata: dict[str, Any] = {"usage": event.usage, "cost_microusd": event.cost_microusd}
    match event:
        case e.RunCompleted():
            metadata["status"] = "complete"
            return [{"type": "finish", "finishReason": finish_reason, "messageMetadata": metadata}]
        case e.RunCancelled():
            metadata["status"] = "cancelled"
            return [
                {"type": "abort", "reason": "cancelled"},
                {"type": "finish", "finishReason": "other", "messageMetadata": metadata},
            ]
        case e.RunFailed():
            metadata |= {"status": "error", "code": event.code}
            # The client stops reading at `error`, so what it shall know comes before; `finish` stops the one that would
            # otherwise reconnect (WorkflowChatTransport).
            return [
                {"type": "message-metadata", "messageMetadata": metadata},
                {"type": "error", "errorText": event.message},
                {"type": "finish", "finishReason": "error"},
            ]


def about(run: e.RunStarted | RunState) -> dict[str, Any]:
    """The metadata that a message begins with. `message_id` is the stored answer's, whatever the client's message is called that it is in."""
    return {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "message_id": run.message_id,
        "model": run.model,
        "path": run.path,
    }


def earlier_chunks(answers: Sequence[Sequence[Part]]) -> list[Chunk]:
    """Stored answers that stand before the run's in the client's message, a step each."""
    chunks: list[Chunk] = []
    for place, parts in enumerate(answers):
        chunks.append({"type": "start-step"})
        for number, part in enumerate(parts):
            chunks += part_chunks(part, None, f"earlier-{place}-{number}", still_open=False)
        chunks.append({"type": "finish-step"})
    return chunks


def with_agent(chunk: Chunk, agent: str | None) -> Chunk:
    """The chunk, which says whose it is."""
    if agent is not None:
        chunk["providerMetadata"] = {NAMESPACE: {"agent": agent}}
    return chunk


def call_chunk(call: ToolCallPart, agent: str | None) -> Chunk:
    """A call with its whole input."""
    return with_agent(
        {
            "type": "tool-input-available",
            "toolCallId": call.tool_call_id,
            "toolName": call.name,
            "input": call.input,
        },
        agent,
    )


def result_chunks(call: ToolCallPart) -> list[Chunk]:
    """What came of a call, if anything has."""
    if call.state == "completed":
        return [{"type": "tool-output-available", "toolCallId": call.tool_call_id, "output": call.output}]
    if call.state == "error":
        error = call.error or "The tool failed."
        return [{"type": "tool-output-error", "toolCallId": call.tool_call_id, "errorText": error}]
    return []


def source_chunk(source: SourcePart) -> Chunk:
    """A source, by its address where it has one."""
    chunk: Chunk = {"sourceId": source.source_id, "title": source.title}
    if source.url is not None:
        chunk |= {"type": "source-url", "url": source.url}
    else:
        chunk |= {"type": "source-document", "mediaType": "text/plain"}
    if source.quote is not None:
        chunk["providerMetadata"] = {NAMESPACE: {"quote": source.quote}}
    return chunk


def waiting_data(data: dict[str, Any]) -> Chunk:
    """What the run waits for, in the one place that a message has for it."""
    return {"type": "data-waiting", "id": "waiting", "data": data}
