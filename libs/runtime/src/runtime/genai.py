"""OpenTelemetry's conventions for generative AI, pinned here: they still change, and live in a repository of their own.

Nothing else spells a `gen_ai.` name. They are "development" there and not released; the next change already known replaces
`gen_ai.client.token.usage` by counters, so moving the pin is an edit of this file and of the dashboards that the tests name.
"""

from typing import Final

REPOSITORY: Final = "open-telemetry/semantic-conventions-genai"
COMMIT: Final = "004902b8cb70aa5ae6ca4ae07132b7daabcd3e10"
"""The state of the repository that these names follow; it builds on version 1.42.0 of the general conventions."""

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
OUTPUT_TYPE: Final = "gen_ai.output.type"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK_ATTRIBUTE: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOKEN_TYPE: Final = "gen_ai.token.type"
ERROR_TYPE: Final = "error.type"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOP_K: Final = "gen_ai.request.top_k"

CHAT: Final = "chat"
"""The operation that streams an answer."""
EXECUTE_TOOL: Final = "execute_tool"
RETRIEVAL: Final = "retrieval"

OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"
DURATION_BUCKETS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BUCKETS: Final = tuple(float(4**power) for power in range(14))
"""Both as the conventions want them."""


def label(name: str) -> str:
    """An attribute's or a metric's name as Prometheus writes it (without a unit)."""
    return name.replace(".", "_")


LABELS: Final = tuple(map(label, (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL)))
"""What every one of its metrics is split by."""
