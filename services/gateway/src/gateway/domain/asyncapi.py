"""The AsyncAPI 3 document of the mesh, made from the contracts: whatever is a contract is in it, and nothing else.

Its application is Everthread as a whole: what it `send`s you may read, what it `receive`s you may send.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import msgspec
from contracts import subjects
from contracts.commands import APPEND_KEY, REPLY_TO, AppendOutcome, AppendToThread, ExecuteRun, RunCommand
from contracts.events import RunEvent
from contracts.facts import Fact, FeedEntry
from contracts.run_state import Snapshot
from contracts.topology import CONSUMERS, MINIMUM_SERVER, RUNS, STREAMS, Stream

Action = Literal["send", "receive"]
_TEXT: Final = {"type": "string"}
_APPEND_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["Nats-Msg-Id"],
    "properties": {
        "Nats-Msg-Id": {**_TEXT, "description": "Your name for this append: the same one is appended once."},
        APPEND_KEY: {
            **_TEXT,
            "description": "The name, where Nats-Msg-Id is not: for sending again to hear the outcome.",
        },
        REPLY_TO: {**_TEXT, "description": "Where the outcome goes: a subject of yours, below _INBOX_app."},
    },
}
_TOOL_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["Everthread-Idempotency-Key"],
    "properties": {
        "Everthread-Idempotency-Key": {**_TEXT, "description": "The same for every repetition of a call."},
        **{f"Everthread-{name}": _TEXT for name in ("Run", "Thread", "Step", "User")},
    },
}
_TOOL_ANSWER_HEADERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "Everthread-Progress": {"const": "1", "description": "On any number of messages before the answer: progress."},
        "Nats-Service-Error": {**_TEXT, "description": "The call failed: a sentence for the model."},
        "Nats-Service-Error-Code": {**_TEXT, "description": "429 or 503: the same call may succeed a little later."},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    """One kind of subject. `stream` is empty for core NATS; `types` are what its messages hold."""

    name: str
    address: str
    about: str
    action: Action
    types: tuple[type[msgspec.Struct], ...] = ()
    stream: str = ""
    headers: dict[str, Any] | None = None
    reply: str = ""


_CHANNELS: Final = (
    _Channel(
        name="liveRunEvents",
        address="live.run.{thread_id}.{run_id}.event",
        about="What a worker wrote into a run's log, republished once it is stored. Listen here; read what was before by direct"
        f" get from {RUNS.name}, and close gaps by `sequence`, which has none.",
        action="send",
        types=get_args(RunEvent),
    ),
    _Channel(
        name="runEvents",
        address="run.{thread_id}.{run_id}.event",
        about="The same on its way into the stream. Never listen here: what the broker rejects passes by as well.",
        action="send",
        types=get_args(RunEvent),
        stream=RUNS.name,
    ),
    _Channel(
        name="runCommands",
        address="run.{thread_id}.{run_id}.command",
        about="Stop, answer, approve, steer: entries of the run's own log.",
        action="send",
        types=get_args(RunCommand),
        stream=RUNS.name,
    ),
    _Channel(
        name="runSnapshots",
        address="run.{thread_id}.{run_id}.snapshot",
        about="The fold of a run's events at a place; the newest one is kept.",
        action="send",
        types=(Snapshot,),
        stream=RUNS.name,
    ),
    _Channel(
        name="legacyRuns",
        address="run.{thread_id}.{run_id}.legacy",
        about="What was told of an ended run of the path legacy_sync: its events, one a line, zlib.",
        action="send",
        stream=RUNS.name,
    ),
    _Channel(
        name="executeRun",
        address="cmd.run.{run_id}.execute",
        about="Conversation has accepted a message; a worker takes the run.",
        action="send",
        types=(ExecuteRun,),
        stream="COMMANDS",
    ),
    _Channel(
        name="threadAppends",
        address="cmd.thread.{thread_id}.append",
        about="Put something into somebody's thread. What is rejected is answered with the reason.",
        action="receive",
        types=(AppendToThread,),
        stream="COMMANDS",
        headers=_APPEND_HEADERS,
        reply="appendOutcomes",
    ),
    _Channel(
        name="threadFacts",
        address="thread.{thread_id}.{fact}",
        about="What others may rely on: told once it is stored. `fact` is the type, its dot kept.",
        action="send",
        types=get_args(Fact),
        stream="THREADS",
    ),
    _Channel(
        name="feeds",
        address="feed.{user_id}",
        about="What a user's devices are told.",
        action="send",
        types=(FeedEntry,),
        stream="FEEDS",
    ),
)


def document(version: str) -> dict[str, Any]:
    """The whole document. `version` is the release's."""
    types = {kind for channel in _CHANNELS for kind in channel.types} | {AppendOutcome}
    ordered = sorted(types, key=_name)
    refs, schemas = msgspec.json.schema_components(
        ordered, schema_hook=_anything, ref_template="#/components/schemas/{name}"
    )
    payloads = dict(zip(ordered, refs, strict=True))
    messages = {_name(kind): _message(kind, payloads[kind]) for kind in ordered}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for channel in _CHANNELS:
        channels[channel.name] = _channel(channel)
        operations[f"{channel.action}{channel.name[0].upper()}{channel.name[1:]}"] = _operation(channel)
        if channel.headers is not None:
            for kind in channel.types:
                messages[_name(kind)]["headers"] = channel.headers
    channels["appendOutcomes"] = {
        "address": None,
        "title": "What became of an append",
        "messages": {_name(AppendOutcome): {"$ref": f"#/components/messages/{_name(AppendOutcome)}"}},
    }
    _add_tools(channels, operations, messages)
    described = {channel.stream for channel in _CHANNELS}
    for stream in STREAMS:
        if stream.name not in described:
            channels[stream.name] = _whole(stream)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Everthread on NATS",
            "version": version,
            "description": "What flows over the mesh: commands, run logs, facts, feeds, tools. Internal services connect as the user"
            " `app`: they may append to threads, read and follow runs, and offer tools.",
            "license": {"name": "Apache-2.0"},
        },
        "servers": {
            "mesh": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "protocolVersion": ".".join(str(number) for number in MINIMUM_SERVER),
                "description": "`everthread nats-url` prints the address of a mesh on this machine.",
                "security": [{"$ref": "#/components/securitySchemes/user"}],
            }
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": _as_asyncapi(schemas),
            "securitySchemes": {"user": {"type": "userPassword"}},
        },
        "x-streams": [_stream(stream) for stream in STREAMS],
    }


def _as_asyncapi(schema: Any) -> Any:
    """A schema as AsyncAPI spells it: a discriminator is the name of the member and nothing more."""
    if isinstance(schema, list):
        return [_as_asyncapi(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value["propertyName"] if name == "discriminator" and "propertyName" in value else _as_asyncapi(value)
        for name, value in schema.items()
    }


def _anything(_: type) -> dict[str, Any]:
    """The schema of a field that may hold any JSON."""
    return {"description": "any JSON"}


def _name(kind: type[msgspec.Struct]) -> str:
    """The message's name: the type it says on the wire, where it says one, and the module's where two say the same."""
    tag = kind.__struct_config__.tag
    module = kind.__module__.rpartition(".")[2].removesuffix("s")
    return kind.__name__ if tag is None else f"{module}-{tag}"


def _sentences(kind: type[msgspec.Struct]) -> str:
    return " ".join((kind.__doc__ or "").split())


def _message(kind: type[msgspec.Struct], payload: dict[str, Any]) -> dict[str, Any]:
    return {"name": _name(kind), "title": kind.__name__, "description": _sentences(kind), "payload": payload}


def _parameters(address: str) -> dict[str, Any]:
    return {name: {"description": _PARAMETERS[name]} for name in re.findall(r"\{(\w+)\}", address)}


_PARAMETERS: Final = {
    "thread_id": "thr_ and a ULID",
    "run_id": "run_ and a ULID",
    "user_id": "usr_ and 26 letters and digits",
    "fact": "such as run.ended",
    "service": "the name of the service that offers it",
    "tool": "the tool's name",
    "rest": "any number of tokens",
    "one": "one token",
}


def _channel(channel: _Channel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "address": channel.address,
        "description": channel.about,
        "messages": {_name(kind): {"$ref": f"#/components/messages/{_name(kind)}"} for kind in channel.types},
        "parameters": _parameters(channel.address),
    }
    if channel.stream:
        made["x-stream"] = channel.stream
    return made


def _operation(channel: _Channel) -> dict[str, Any]:
    made: dict[str, Any] = {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "summary": channel.about,
    }
    if channel.reply:
        made["reply"] = {
            "address": {"location": f"$message.header#/{REPLY_TO}", "description": "Only where you give one."},
            "channel": {"$ref": f"#/channels/{channel.reply}"},
        }
    return made


def _add_tools(channels: dict[str, Any], operations: dict[str, Any], messages: dict[str, Any]) -> None:
    """Tools have the schema that their service gives, so there is no contract to make theirs from."""
    for name, about, headers in (
        ("toolCall", "The arguments, which fit the tool's own JSON schema.", _TOOL_HEADERS),
        ("toolAnswer", "Progress, a result or a failure: any JSON.", _TOOL_ANSWER_HEADERS),
        ("serviceInfo", "What a NATS micro service offers; an endpoint with `everthread.schema` is a tool.", None),
    ):
        payload: dict[str, Any] = {"type": "object"} if name != "toolAnswer" else {}
        messages[name] = {"name": name, "title": name, "description": about, "payload": payload}
        if headers is not None:
            messages[name]["headers"] = headers
    for channel, address, message in (
        ("tools", f"{subjects.TOOLS}{{service}}.{{tool}}", "toolCall"),
        ("toolAnswers", None, "toolAnswer"),
        ("serviceInfoRequests", subjects.SERVICES_INFO, ""),
        ("serviceInfos", None, "serviceInfo"),
    ):
        found = {message: {"$ref": f"#/components/messages/{message}"}} if message else {}
        channels[channel] = {"address": address, "messages": found}
        if address is not None:
            channels[channel]["parameters"] = _parameters(address)
    for name, channel, answers, about in (
        ("callTool", "tools", "toolAnswers", "A model wants a tool of a service of yours."),
        ("askForTools", "serviceInfoRequests", "serviceInfos", "Which tools are there now."),
    ):
        operations[name] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": about,
            "reply": {"channel": {"$ref": f"#/channels/{answers}"}},
        }


def _whole(stream: Stream) -> dict[str, Any]:
    """A stream that only Everthread's own services write and read: its subjects, without their messages."""
    address = stream.subjects[0].replace(">", "{rest}").replace("*", "{one}")
    return {
        "address": address,
        "description": f"{stream.why} For Everthread's own services only.",
        "messages": {},
        "parameters": _parameters(address),
        "x-stream": stream.name,
    }


def _stream(stream: Stream) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": stream.name,
        "subjects": list(stream.subjects),
        "description": stream.why,
        "retention": stream.retention,
        "discard": stream.discard,
        "consumers": [
            {
                "name": consumer.name,
                "filter": consumer.filter,
                "description": consumer.why,
                "ack_wait_seconds": consumer.ack_wait,
                "max_deliver": consumer.max_deliver,
            }
            for consumer in CONSUMERS
            if consumer.stream == stream.name
        ],
    }
    if stream.max_age:
        made["max_age_seconds"] = stream.max_age
    return made
