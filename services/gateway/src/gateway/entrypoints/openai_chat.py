"""`/openai/v1/chat/completions`."""

from collections.abc import Mapping
from typing import Any, Final

from contracts.ids import THREAD, derived_id, new_id

from gateway.domain import dismissals
from gateway.domain.brought_tools import check_names
from gateway.domain.protocols.frame import DONE, FramePlace
from gateway.domain.protocols.openai_chat import ChatMapping, FinishMapping, completion
from gateway.domain.tool_turns import results_in
from gateway.entrypoints.doors import Request
from gateway.entrypoints.openai_errors import ParameterRefusal, failure_of, showing
from gateway.entrypoints.openai_input import flag_parameter, model_of, read_parameters
from gateway.entrypoints.openai_tools import TOOL_PARAMETERS, read_tools
from gateway.entrypoints.openai_turns import read_chat_messages
from gateway.entrypoints.protocol_http import ATTACH_SECONDS, ProtocolStreams, answer_json
from gateway.entrypoints.wiring import Doors, Wiring
from gateway.handlers.send_from_client import FromClient, send_from_client

KNOWN: Final = frozenset({"model", "messages", "stream", "stream_options"}) | TOOL_PARAMETERS
HARMLESS: Final[Mapping[str, Any]] = {
    "n": (1,),
    "store": (True,),
    "tools": ([],),
    "stop": ([],),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "logprobs": (False,),
}
TAGS: Final = ("openai",)


class ChatCompletions:
    """Every call is a thread of its own: the client brings the whole conversation along."""

    def __init__(self, wiring: Wiring, doors: Doors, streams: ProtocolStreams) -> None:
        self._wiring: Final = wiring
        self._doors: Final = doors
        self._streams: Final = streams

    async def create(self, request: Request) -> None:
        """POST: streamed or whole."""
        wiring, user_id = self._wiring, request.principal.user_id
        wanted = read_parameters(request.body, KNOWN, HARMLESS)
        messages = read_chat_messages(wanted.get("messages"))
        last = messages[-1]
        if last.role not in ("user", "tool"):
            raise ParameterRefusal(
                "messages", "The last message must be a user's, or what came of a tool call.", code="invalid_value"
            )
        model = model_of(wanted, wiring.models)
        tools = read_tools(wanted, "chat", wiring.models.find(model))
        streamed = flag_parameter(wanted, "stream")
        usage = _include_usage(wanted.get("stream_options"), streamed)
        key = request.headers.get("idempotency-key", "")
        message = FromClient(
            thread_id=derived_id(THREAD, user_id, "openai", key) if key else new_id(THREAD),
            content=last.content,
            results=results_in(last),
            earlier=messages[:-1],
            model=model,
            tools=tools,
            key=key,
            tags=TAGS,
            roles=(request.principal.role,),
        )
        await check_names(wiring.agents, "", tools)
        request.take_message()
        message = await request.with_path(message)
        self._streams.enter(request.principal)
        try:
            accepted = await send_from_client(wiring.conversation, self._doors.threads, wiring.models, user_id, message)
            run, stored = await wiring.conversation.get_run(user_id, accepted.run_id)
            headers = {"x-run-id": run.id}
            with showing(run, key):
                async with request.timeout(ATTACH_SECONDS):
                    if streamed:
                        viewer = await self._doors.feeds.counted(
                            run, stored, ("openai_chat", usage), lambda: ChatMapping(include_usage=usage), FramePlace()
                        )
                    else:
                        viewer = await self._doors.feeds.counted(run, stored, "finish", FinishMapping, FramePlace())
            if streamed:
                await self._streams.serve(
                    request.scope,
                    request.receive,
                    request.send,
                    viewer,
                    request.principal,
                    end=DONE,
                    headers=headers,
                    resumable=False,
                    dismissed=dismissals.openai_chat,
                )
                return
            # SDKs repeat a failed POST by themselves: it would be another run.
            headers["x-should-retry"] = "false"
            try:
                if not await self._streams.wait_for_end(request.scope, request.receive, viewer, request.principal):
                    return
                state, mapping = viewer.state, viewer.mapping
            finally:
                await viewer.close()
            if state.status == "error":
                status, body = failure_of(state)
                await answer_json(request.send, status, body, headers)
                return
            whole = completion(
                run_id=run.id,
                created_at=run.created_at,
                model=state.model or run.model,
                status=state.status,
                finish_reason=mapping.finish_reason if isinstance(mapping, FinishMapping) else "stop",
                parts=state.message_parts,
                usage=state.usage,
            )
            await answer_json(request.send, 200, whole, headers)
        finally:
            self._streams.leave(request.principal)


def _include_usage(options: object, streamed: bool) -> bool:
    if options is None:
        return False
    if not streamed or not isinstance(options, dict):
        raise ParameterRefusal(
            "stream_options", "stream_options is an object, and needs stream: true.", code="invalid_value"
        )
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation") or (name == "include_obfuscation" and value):
            raise ParameterRefusal(f"stream_options.{name}", f"stream_options.{str(name)[:40]} is not supported here.")
    return bool(options.get("include_usage"))
