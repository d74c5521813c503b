"""The client doors and event streams in the OpenAPI document: they are no FastAPI routes, so they are described by hand."""

from typing import Any, Final

TEXT: Final = {"type": "string"}
OBJECT: Final = {"type": "object"}
SECURITY: Final[list[dict[str, list[str]]]] = [{"HTTPBearer": []}]
_RUN: Final = ("run_id", "path", True, "The run.")
_AFTER: Final = ("Last-Event-ID", "header", False, "The id of the last event received.")
_CURSOR: Final = ("cursor", "query", False, "The same; or `latest` for new events only.")
_KEY: Final = ("Idempotency-Key", "header", False, "The same key is the same run.")

_UI_MESSAGE: Final = {
    "type": "object",
    "required": ["role", "parts"],
    "properties": {
        "id": TEXT,
        "role": {"enum": ["system", "user", "assistant"]},
        "parts": {
            "type": "array",
            "items": {"type": "object", "required": ["type"], "properties": {"type": TEXT, "text": TEXT}},
        },
    },
}
_CHAT: Final = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "id": {**TEXT, "description": "The client's own name for the chat."},
        "messages": {"type": "array", "items": _UI_MESSAGE},
        "trigger": {"enum": ["submit-message", "regenerate-message"]},
        "messageId": {"type": ["string", "null"]},
        "model": TEXT,
        "tools": {
            "description": "Tools of the page; their calls are left to it. A list, or an object of them by name.",
            "type": ["array", "object", "null"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": TEXT, "description": TEXT, "inputSchema": OBJECT},
            },
        },
        "toolChoice": {
            "description": "auto, none, required, or {type: tool, toolName}; as the AI SDK has it.",
            "type": ["string", "object", "null"],
        },
    },
}
_AGUI: Final = {
    "type": "object",
    "description": "AG-UI's RunAgentInput.",
    "required": ["threadId", "runId", "messages"],
    "properties": {
        "threadId": TEXT,
        "runId": TEXT,
        "messages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "role"],
                "properties": {
                    "id": TEXT,
                    "role": TEXT,
                    "content": {},
                    "toolCalls": {"type": "array"},
                    "toolCallId": {**TEXT, "description": "The call that a tool's message answers."},
                },
            },
        },
        "tools": {
            "type": "array",
            "description": "Tools of the client; their calls are left to it.",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": TEXT, "description": TEXT, "parameters": OBJECT},
            },
        },
        "context": {
            "type": "array",
            "description": "What the model shall know for this run.",
            "items": {
                "type": "object",
                "required": ["description"],
                "properties": {"description": TEXT, "value": TEXT},
            },
        },
        "resume": {"type": "array"},
    },
}
_TOOLS: Final = {
    "tools": {
        "type": "array",
        "description": "Functions of the client; their calls are left to it.",
        "items": {"type": "object", "required": ["type"], "properties": {"type": {"const": "function"}}},
    },
    "tool_choice": {"description": "auto, none, required, or one function by name."},
    "parallel_tool_calls": {"type": "boolean"},
}
_COMPLETION: Final = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": TEXT,
        "messages": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["role"],
                "properties": {"role": TEXT, "content": {}, "tool_calls": {"type": "array"}, "tool_call_id": TEXT},
            },
        },
        **_TOOLS,
        "stream": {"type": "boolean"},
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
    },
}
_RESPONSE: Final = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {
        "model": TEXT,
        "input": {"anyOf": [TEXT, {"type": "array", "items": OBJECT}]},
        "instructions": {"type": ["string", "null"]},
        "stream": {"type": "boolean"},
        "background": {"type": "boolean"},
        "previous_response_id": {"type": ["string", "null"]},
        "metadata": {"type": "object", "additionalProperties": TEXT},
        **_TOOLS,
    },
}
_CODE: Final = {"type": "object", "required": ["code", "message"], "properties": {"code": TEXT, "message": TEXT}}
_OPENAI_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": TEXT,
                "type": TEXT,
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_Parameter = tuple[str, str, bool, str]


def _operation(
    name: str,
    tag: str,
    summary: str,
    *,
    parameters: tuple[_Parameter, ...] = (),
    body: dict[str, Any] | None = None,
    answers: dict[str, tuple[str, dict[str, Any]]] | None = None,
    refused: tuple[str, dict[str, Any]] = ("application/json", _CODE),
) -> dict[str, Any]:
    """One call. `answers` are (description, content by media type) by status."""
    made: dict[str, Any] = {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        "security": SECURITY,
        "parameters": [
            {"name": one, "in": where, "required": needed, "schema": TEXT, "description": about}
            for one, where, needed, about in parameters
        ],
        "responses": {},
    }
    if body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    for status, (about, content) in (answers or {}).items():
        made["responses"][status] = {"description": about} | ({"content": content} if content else {})
    media_type, schema = refused
    said = {"description": "Refused, in the protocol's own words.", "content": {media_type: {"schema": schema}}}
    made["responses"] |= {"4XX": said, "5XX": said}
    return made


_SSE: Final = {"text/event-stream": {"schema": TEXT}}
_JSON: Final = {"application/json": {"schema": OBJECT}}
_STREAM: Final = ("The stream, up to the protocol's last frame.", _SSE)
_NOTHING: Final = ("Nothing runs.", dict[str, Any]())


def _ai_sdk(name: str, summary: str, **more: Any) -> dict[str, Any]:
    return _operation(name, "AI SDK", summary, refused=("text/plain", TEXT), **more)


def _openai(name: str, summary: str, **more: Any) -> dict[str, Any]:
    return _operation(name, "OpenAI", summary, refused=("application/json", _OPENAI_ERROR), **more)


def door_paths() -> dict[str, Any]:
    """Path items of all doors and streams but the native event streams."""
    chat: _Parameter = ("chat_id", "path", True, "The client's chat id, one of our thread ids, or a run's id.")
    response: _Parameter = ("response_id", "path", True, "The response.")
    both = {"200": ("Whole, or the stream.", _JSON | _SSE)}
    whole = {"200": ("Found.", _JSON)}
    offset: _Parameter = ("offset", "query", False, "-1 is the beginning, now the end.")
    live: _Parameter = ("live", "query", False, "long-poll or sse.")
    place: _Parameter = ("cursor", "query", False, "Stream-Cursor of the last answer.")
    start: _Parameter = ("startIndex", "query", False, "Exactly the chunks from here on; negative from the end.")
    return {
        "/api/chat": {"post": _ai_sdk("chat", "Send, regenerate or edit.", body=_CHAT, answers={"200": _STREAM})},
        "/api/chat/{chat_id}/stream": {
            "get": _ai_sdk(
                "resume_chat", "Resume.", parameters=(chat, start), answers={"200": _STREAM, "204": _NOTHING}
            )
        },
        "/api/chat/{chat_id}/stop": {
            "post": _ai_sdk(
                "stop_chat", "Stop the run.", parameters=(chat,), answers={"202": ("It stops.", _JSON), "204": _NOTHING}
            )
        },
        "/openai/v1/chat/completions": {
            "post": _openai("chat_completions", "Complete a chat.", parameters=(_KEY,), body=_COMPLETION, answers=both)
        },
        "/openai/v1/responses": {"post": _openai("create_response", "Respond.", body=_RESPONSE, answers=both)},
        "/openai/v1/responses/{response_id}": {
            "get": _openai(
                "retrieve_response",
                "A response, or its stream.",
                parameters=(
                    response,
                    ("stream", "query", False, "true or false."),
                    ("starting_after", "query", False, "The sequence_number of the last event received."),
                ),
                answers=both,
            ),
            "delete": _openai("delete_response", "Delete a response.", parameters=(response,), answers=whole),
        },
        "/openai/v1/responses/{response_id}/cancel": {
            "post": _openai("cancel_response", "Stop a response.", parameters=(response,), answers=whole)
        },
        "/openai/v1/responses/{response_id}/input_items": {
            "get": _openai("response_input_items", "What it answers.", parameters=(response,), answers=whole)
        },
        "/openai/v1/models": {"get": _openai("openai_models", "The models.", answers=whole)},
        "/openai/v1/models/{model}": {
            "get": _openai(
                "openai_model", "One model.", parameters=(("model", "path", True, "Its id."),), answers=whole
            )
        },
        "/agui/run": {"post": _operation("agui_run", "AG-UI", "Run an agent.", body=_AGUI, answers={"200": _STREAM})},
        "/agui/runs/{run_id}/events": {
            "get": _operation("agui_events", "AG-UI", "Go on with a run.", parameters=(_RUN,), answers={"200": _STREAM})
        },
        "/streams/runs/{run_id}": {
            "get": _operation(
                "read_stream",
                "durable-streams",
                "Catch up, wait, or stay.",
                parameters=(_RUN, offset, live, place),
                answers={
                    "200": ("Events.", {"application/json": {"schema": {"type": "array", "items": OBJECT}}} | _SSE),
                    "204": ("Nothing new in time, or nothing more ever.", {}),
                    "304": ("As the ETag says.", {}),
                },
            ),
            "head": _operation(
                "head_stream",
                "durable-streams",
                "Where it ends.",
                parameters=(_RUN,),
                answers={"200": ("It is there.", {})},
            ),
        },
    }
