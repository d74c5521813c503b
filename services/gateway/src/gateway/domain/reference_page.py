"""OpenAPI and AsyncAPI documents as pages for people: one HTML text, no script, nothing to fetch."""

import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_STYLE: Final = """
:root{color-scheme:light dark;--line:light-dark(#d8dbe0,#3a3f47);--quiet:light-dark(#5a6270,#a0a8b5);--back:light-dark(#f5f6f8,#22262c)}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:62rem;padding:1rem 1.25rem 4rem}
h2{border-bottom:1px solid var(--line);margin-top:2.5rem;padding-bottom:.25rem}
nav a{margin-right:.9rem;white-space:nowrap}
details{border:1px solid var(--line);border-radius:.4rem;margin:.5rem 0;padding:.4rem .75rem}
summary{cursor:pointer;overflow-wrap:anywhere}summary b{display:inline-block;min-width:4.2rem}
code,pre{font:.875em/1.45 ui-monospace,monospace}pre{background:var(--back);border-radius:.4rem;overflow:auto;padding:.6rem .8rem}
table{border-collapse:collapse;margin:.5rem 0;width:100%}
th,td{border-top:1px solid var(--line);padding:.3rem .5rem .3rem 0;text-align:left;vertical-align:top}
.quiet{color:var(--quiet)}
"""
_DEPTH: Final = 4


def openapi_page(document: Mapping[str, Any]) -> str:
    """The calls over HTTP, by tag, each with what it takes and answers."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tag = (operation.get("tags") or ["other"])[0]
            groups.setdefault(tag, []).append(_call(document, path, method, operation))
    sections = [(tag, tag, "".join(calls)) for tag, calls in groups.items()]
    return _page(document["info"], "/openapi.json", "/asyncapi", "what flows over NATS", sections)


def asyncapi_page(document: Mapping[str, Any]) -> str:
    """What flows over NATS: operations, subjects, messages, streams."""
    sections = [
        (
            "operations",
            "What Everthread does",
            "".join(_operation(document, *item) for item in document["operations"].items()),
        ),
        ("subjects", "Subjects", "".join(_channel(*item) for item in document["channels"].items())),
        (
            "messages",
            "Messages",
            "".join(_message(document, *item) for item in document["components"]["messages"].items()),
        ),
        ("streams", "Streams", "".join(_stream(stream) for stream in document["x-streams"])),
    ]
    return _page(document["info"], "/asyncapi.json", "/openapi", "the calls over HTTP", sections)


def _page(
    info: Mapping[str, Any], source: str, other: str, other_name: str, sections: Iterable[tuple[str, str, str]]
) -> str:
    sections = list(sections)
    links = "".join(f'<a href="#{escape(name)}">{escape(title)}</a>' for name, title, _ in sections)
    body = "".join(f'<h2 id="{escape(name)}">{escape(title)}</h2>{content}' for name, title, content in sections)
    title = escape(str(info["title"]))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{title} <small>{escape(str(info['version']))}</small></h1>{_prose(info.get('description', ''))}"
        f'<p>For programs: <a href="{source}">{source}</a>. Beside it: <a href="{other}">{other_name}</a>.</p>'
        f"<nav>{links}</nav>{body}</body></html>\n"
    )


def _call(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [_prose(operation.get("description", ""))]
    rows = [
        _row(parameter["name"], parameter["in"], parameter.get("required", False), parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    ]
    if rows:
        parts.append(f"<h4>Parameters</h4><table>{''.join(rows)}</table>")
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h4>Body <code>{escape(kind)}</code></h4>{_schema(document, content.get('schema', {}))}")
    for status, response in operation["responses"].items():
        parts.append(f"<h4>{escape(status)}</h4>{_prose(response.get('description', ''))}")
        for kind, content in response.get("content", {}).items():
            parts.append(f"<p><code>{escape(kind)}</code></p>{_schema(document, content.get('schema', {}))}")
    head = f"<b>{escape(method.upper())}</b> <code>{escape(path)}</code>"
    return _folded(head, operation.get("summary", ""), "".join(parts))


def _operation(document: Mapping[str, Any], name: str, operation: Mapping[str, Any]) -> str:
    channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
    messages = ", ".join(f"<code>{escape(message)}</code>" for message in channel["messages"])
    reply = ""
    if "reply" in operation:
        answers = document["channels"][operation["reply"]["channel"]["$ref"].rpartition("/")[2]]["messages"]
        reply = f"<p>Answered with {', '.join(f'<code>{escape(answer)}</code>' for answer in answers)}.</p>"
    body = f"<p>On <code>{escape(str(channel['address']))}</code>: {messages}</p>{reply}"
    return _folded(f"<b>{escape(operation['action'])}</b> {escape(name)}", operation.get("summary", ""), body)


def _channel(name: str, channel: Mapping[str, Any]) -> str:
    rows = "".join(
        _row(parameter, "token", True, about.get("description", ""))
        for parameter, about in channel.get("parameters", {}).items()
    )
    stored = channel.get("x-stream")
    where = f"<p>Stored in {escape(stored)}.</p>" if stored else "<p>Core NATS: nothing is stored.</p>"
    address = channel["address"] or "(the reply subject of the request)"
    return _folded(
        f"<code>{escape(address)}</code>", name, f"{_prose(channel.get('description', ''))}{where}<table>{rows}</table>"
    )


def _message(document: Mapping[str, Any], name: str, message: Mapping[str, Any]) -> str:
    headers = f"<h4>Headers</h4>{_schema(document, message['headers'])}" if "headers" in message else ""
    return _folded(
        f"<code>{escape(name)}</code>",
        message.get("description", ""),
        f"{headers}<h4>Payload</h4>{_schema(document, message['payload'])}",
    )


def _stream(stream: Mapping[str, Any]) -> str:
    rows = "".join(
        _row(consumer["name"], consumer["filter"], False, consumer["description"]) for consumer in stream["consumers"]
    )
    subjects = ", ".join(f"<code>{escape(subject)}</code>" for subject in stream["subjects"])
    return _folded(
        f"<b>{escape(stream['name'])}</b> {subjects}",
        stream["description"],
        f"<p>Retention {escape(stream['retention'])}, discards {escape(stream['discard'])}.</p><table>{rows}</table>",
    )


def _folded(head: str, summary: str, body: str) -> str:
    quiet = f' <span class="quiet">{escape(summary)}</span>' if summary else ""
    return f"<details><summary>{head}{quiet}</summary>{body}</details>"


def _prose(text: str) -> str:
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph.strip())


def _row(name: str, kind: str, needed: bool, about: str) -> str:
    mark = "" if not needed else ' <span class="quiet">required</span>'
    return f"<tr><th><code>{escape(name)}</code>{mark}</th><td><code>{escape(kind)}</code></td><td>{escape(about)}</td></tr>"


def _schema(document: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """An object as a table of its members; anything else as JSON."""
    found = _resolved(document, schema)
    members = found.get("properties")
    if not isinstance(members, Mapping):
        shown = _kind(document, schema) if schema else "any JSON"
        return (
            f"<p><code>{escape(shown)}</code></p>"
            if len(shown) < 200
            else f"<pre>{escape(json.dumps(found, indent=1))}</pre>"
        )
    required = found.get("required", ())
    rows = "".join(
        _row(name, _kind(document, member), name in required, member.get("description", ""))
        for name, member in members.items()
    )
    return f"{_prose(found.get('description', ''))}<table>{rows}</table>"


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int = 0) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        found = _resolved(document, schema)
        return name if depth >= _DEPTH or "properties" in found else _kind(document, found, depth + 1)
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(_kind(document, one, depth + 1) for one in schema[several]))
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"[{_kind(document, schema.get('items', {}), depth + 1)}]"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)
