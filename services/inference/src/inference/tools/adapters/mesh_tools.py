"""Tools that other services offer over NATS.

The convention, for whoever offers one in any language. A service registers as a NATS micro service. Each endpoint that is a
tool listens on `tool.<service>.<tool>` and has in its metadata (all values are texts, as NATS wants them):

    everthread.schema        JSON schema (2020-12) of the arguments, an object. Having it makes the endpoint a tool.
    everthread.description   what it does, for the model that chooses
    everthread.side-effects  `false` if calling it changes nothing; otherwise it counts as changing something
    everthread.approval      `true`: a person must agree to each call
    everthread.timeout       seconds a call may take (30)
    everthread.retries       how often a call may be tried again (0); say more than 0 only if a repeated key does nothing twice
    everthread.roles         comma-separated: who may use it; left out: everybody

The endpoint's name is the tool's name. A call is a request whose data is the arguments as JSON, with the headers

    Everthread-Idempotency-Key  the same for every repetition of the call, also after a crash of the caller
    Everthread-Run, Everthread-Thread, Everthread-Step, Everthread-User, traceparent

The answer's data is JSON (or text). Before it, any number of messages with the header `Everthread-Progress: 1` may go to the
same reply subject, their data JSON: they are shown as progress. Failure is the micro protocol's own: the headers
`Nats-Service-Error` (a sentence that the model may read) and `Nats-Service-Error-Code`; code 429 or 503 says that the same
call may succeed a little later. When the caller gives up, nothing more is read; a service that wants to know watches its own
clock against everthread.timeout.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from contracts.subjects import SERVICES_INFO
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from runtime import telemetry

from inference.tools.adapters.arguments import check_schema
from inference.tools.domain.mesh_offers import MeshOffer, read_offers
from inference.tools.domain.outcome import Output, ToolFailedError, ToolOutcome
from inference.tools.domain.spec import ToolSpec, ToolSpecError
from inference.tools.ports import Tool, ToolContext

logger = structlog.get_logger()

IDEMPOTENCY_KEY: Final = "Everthread-Idempotency-Key"
RUN: Final = "Everthread-Run"
THREAD: Final = "Everthread-Thread"
STEP: Final = "Everthread-Step"
USER: Final = "Everthread-User"
PROGRESS: Final = "Everthread-Progress"
SERVICE_ERROR: Final = "Nats-Service-Error"
SERVICE_ERROR_CODE: Final = "Nats-Service-Error-Code"
STATUS: Final = "Status"
NO_RESPONDERS: Final = "503"
WORTH_ANOTHER_TRY: Final = frozenset({"429", "503"})


class MeshTools:
    """The tools on the mesh, as `$SRV.INFO` shows them. What was found is kept for `fresh_for` seconds. The first answer is
    waited for `first_answer` seconds: where there is no service at all, the server says so at once."""

    def __init__(
        self, client: Client, *, patience: float = 0.25, first_answer: float = 2.0, fresh_for: float = 30.0
    ) -> None:
        self._client, self._patience, self._fresh_for = client, patience, fresh_for
        self._first_answer = first_answer
        self._found: Sequence[Tool] = ()
        self._found_at: float | None = None
        self._looking = asyncio.Lock()
        self._told: set[str] = set()

    async def tools(self) -> Sequence[Tool]:
        """What there is now; asking takes `patience` seconds after the last answer, so it is not done for every call."""
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if self._found_at is None or now - self._found_at > self._fresh_for:
                self._found = await self._look()
                # Nothing found is looked for again: services may be starting, and the server says at once that there is none.
                self._found_at = asyncio.get_running_loop().time() if self._found else None
            return self._found

    async def close(self) -> None:
        """The connection is not ours to close."""

    async def _look(self) -> Sequence[Tool]:
        try:
            answers = await self._ask_all()
        except (NatsError, OSError) as error:
            logger.warning("tools.mesh_unheard", error=str(error) or type(error).__name__)
            return self._found
        offers, problems = read_offers(answers)
        usable: list[Tool] = []
        for offer in offers:
            try:
                check_schema(offer.spec)
            except ToolSpecError as error:
                problems.append(f"{offer.service}: {error}")
                continue
            usable.append(MeshTool(self._client, offer))
        for problem in problems:
            if problem not in self._told:
                self._told.add(problem)
                logger.warning("tools.mesh_refused", reason=problem)
        return usable

    async def _ask_all(self) -> list[bytes]:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(inbox)
        answers: list[bytes] = []
        try:
            await self._client.publish(SERVICES_INFO, b"", reply=inbox)
            while True:
                try:
                    message = await subscription.next_msg(timeout=self._patience if answers else self._first_answer)
                except TimeoutError:
                    return answers
                if _status(message) == NO_RESPONDERS:
                    return answers
                answers.append(message.data)
        finally:
            await subscription.unsubscribe()


class MeshTool:
    """One of them."""

    def __init__(self, client: Client, offer: MeshOffer) -> None:
        self._client, self._offer = client, offer

    @property
    def spec(self) -> ToolSpec:
        """What it is."""
        return self._offer.spec

    async def call(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """One request; the service is told the idempotency key. Waits until cancelled, which is run_tool's timeout."""
        inbox = self._client.new_inbox()
        try:
            subscription = await self._client.subscribe(inbox)
            try:
                await self._client.publish(
                    self._offer.subject, json.dumps(arguments).encode(), reply=inbox, headers=_headers(context)
                )
                while True:
                    message = await subscription.next_msg(timeout=None)
                    if not (message.headers and PROGRESS in message.headers):
                        return self._outcome(message)
                    context.progress(_json_or_text(message.data))
            finally:
                await subscription.unsubscribe()
        except NatsError as error:
            raise ToolFailedError("The mesh could not be reached.", retryable=True) from error

    def _outcome(self, message: Msg) -> ToolOutcome:
        headers = message.headers or {}
        if SERVICE_ERROR in headers:
            code = headers.get(SERVICE_ERROR_CODE, "")
            raise ToolFailedError(
                f"The service {self._offer.service} refused: {headers[SERVICE_ERROR][:500]} (code {code[:20]}).",
                retryable=code in WORTH_ANOTHER_TRY,
            )
        if _status(message) == NO_RESPONDERS:
            raise ToolFailedError(f"The service {self._offer.service} is not there at the moment.", retryable=True)
        return Output(_json_or_text(message.data))


def _headers(context: ToolContext) -> dict[str, str]:
    headers = {
        IDEMPOTENCY_KEY: context.idempotency_key,
        RUN: context.run_id,
        THREAD: context.thread_id,
        STEP: str(context.step),
        USER: context.user_id,
    }
    telemetry.inject(headers)
    return headers


def _status(message: Msg) -> str:
    # A reply without data and with a status line is the server's own word, not a service's.
    return (message.headers or {}).get(STATUS, "") if not message.data else ""


def _json_or_text(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")
