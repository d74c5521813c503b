"""OpenTelemetry's conventions for generative AI, pinned here: they still change, and live in a repository of their own.

Taken from open-telemetry/semantic-conventions-genai as of the version below. Nothing else spells a `gen_ai.` name.
"""

from typing import Final

VERSION: Final = "1.42.0"
"""The release of the conventions that these names follow."""

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
TOKEN_TYPE: Final = "gen_ai.token.type"
ERROR_TYPE: Final = "error.type"

CHAT: Final = "chat"
"""The operation that streams an answer."""

OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_USAGE: Final = "gen_ai.client.token.usage"


def prometheus_name(name: str, unit: str) -> str:
    """An OpenTelemetry metric's name as Prometheus shows it. Tokens are shown as a counter, which is what one adds up."""
    return f"{label(name)}_{unit}" + ("_total" if unit == "tokens" else "")


def label(name: str) -> str:
    """An attribute's name as a label."""
    return name.replace(".", "_")


LABELS: Final = tuple(map(label, (OPERATION_NAME, PROVIDER_NAME, REQUEST_MODEL, ERROR_TYPE)))
