"""The JetStream API as JSON: nats-py's own configuration classes lack some of the options used here."""

import json
from typing import Any, Final

from bus.errors import BusError, UnavailableError
from bus.jetstream.requests import NoAnswerError, Requests

STREAM_NOT_FOUND: Final = 10059
CONSUMER_NOT_FOUND: Final = 10014
STREAM_EXISTS_DIFFERENTLY: Final = 10058
CONSUMER_EXISTS: Final = 10148
MESSAGE_NOT_FOUND: Final = 10037
NO_MESSAGE_AT_SEQUENCE: Final = 10043
WRONG_LAST_SEQUENCE: Final = 10071
WRONG_LAST_SEQUENCE_IN_FLIGHT: Final = 10164
DUPLICATE_IN_FLIGHT: Final = 10158
STORE_FAILED: Final = 10077
INCOMPLETE_BATCH: Final = 10176
BATCH_HAS_DUPLICATE: Final = 10201
TOO_MANY_BATCHES: Final = 10210
RESOURCES_EXCEEDED: Final = frozenset({10002, 10023, 10028, 10047})


class ApiError(BusError):
    """The JetStream API refused a call. `code` is the server's err_code."""

    def __init__(self, call: str, code: int, description: str) -> None:
        super().__init__(f"{call}: {description} ({code})")
        self.code = code


async def call_api(requests: Requests, call: str, body: dict[str, Any] | None = None, *, timeout: float = 5.0) -> Any:
    """Call `$JS.API.<call>` and return its JSON. Raises ApiError, UnavailableError."""
    data = b"" if body is None else json.dumps(body).encode()
    try:
        message = await requests.ask(f"$JS.API.{call}", data, timeout=timeout)
    except NoAnswerError as error:
        raise UnavailableError(f"{call}: {error}") from error
    answer = json.loads(message.data)
    if "error" in answer:
        refusal = answer["error"]
        code = int(refusal.get("err_code", refusal.get("code", 0)))
        raise ApiError(call, code, str(refusal.get("description", "")))
    return answer
