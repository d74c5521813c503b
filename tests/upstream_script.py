"""What the scripted upstream shall do, read from the last user message, and the text it then says.

A message made of directives, such as `tokens=200 rate=50 cut_after=20`, is a script; any other text is answered with
DEFAULT_TOKENS deterministic tokens. Directives:

tokens=N          how many tokens of text (20)                     rate=R       tokens a second, 0 is at once (0)
seed=N            another text of the same length (0)              delay=S      seconds before the first chunk (0)
words=N           how many words one token has (1)
reasoning=N       reasoning tokens before the text (0)             reasoning_key=reasoning_content|reasoning|typed
usage=last|every|groq|never   where the token counts come (last)   finish=stop|length|content_filter|error|…  (stop)
status=N          answer with this HTTP status and an error body   times=N      only the first N calls of this message
retry_after=S|date   the header that goes with it                  message=…    its error message, _ for a space
cut_after=N       break off after N tokens                         cut=reset|mid_utf8|mid_json|no_finish  how (reset)
stall_after=N     say nothing more after N tokens                  error_after=N   an error object after N tokens
hang              accept the request and never answer              error_body   200 with an error as the body
echo              the text is the conversation, a line a message   stamp        each token is `<index>:<monotonic ns> `
prefix=accept|refuse|anew   a trailing assistant message is continued, answered 400, or ignored (accept)
tool=name         ends with a call of that tool                    refusal=…    refuse with these words, _ for a space
call=name:{json}  ends with this call, no space in it; several are made at once; then tokens is 0 unless it is given
crlf              CRLF line ends                                   keepalive    a comment line before each chunk
no_done           leave out `data: [DONE]`                         split        send every chunk in two pieces

`then` between directives begins the next step: what is said once the calls of the step before have been answered, as in
`call=time:{} then tokens=5`. After a hand-over, the script is what follows `Your task: `.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

DEFAULT_TOKENS: Final = 20
WORDS: Final = (
    "river", "stone", "cloud", "amber", "quiet", "lantern", "orbit", "meadow", "copper", "signal", "winter", "harbor",
    "velvet", "prism", "timber", "echo", "saffron", "ridge", "canvas", "ember", "willow", "garden", "summit", "marble",
)  # fmt: skip
TASK: Final = "Your task: "
FLAGS: Final = frozenset({"hang", "error_body", "echo", "stamp", "crlf", "keepalive", "no_done", "split"})
_DIRECTIVE: Final = re.compile(r"([a-z_]+)=(\S+)")


@dataclass(frozen=True, kw_only=True)
class Script:
    """One parsed message; the fields are the directives of the module's docstring."""

    content: str = ""
    tokens: int = DEFAULT_TOKENS
    rate: float = 0.0
    seed: int = 0
    words: int = 1
    delay: float = 0.0
    reasoning: int = 0
    reasoning_key: str = "reasoning_content"
    usage: str = "last"
    finish: str = "stop"
    status: int = 200
    times: int | None = None
    retry_after: str = ""
    message: str = ""
    cut_after: int | None = None
    cut: str = "reset"
    stall_after: int | None = None
    error_after: int | None = None
    prefix: str = "accept"
    tool: str = ""
    refusal: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    flags: frozenset[str] = field(default_factory=frozenset)


def parse_script(content: str) -> Script:
    """The script of a message. A text with any word that is no directive is no script, but plain text with its own seed."""
    values: dict[str, Any] = {}
    flags: set[str] = set()
    calls: list[tuple[str, str]] = []
    for word in content.split():
        match = _DIRECTIVE.fullmatch(word)
        if word in FLAGS:
            flags.add(word)
        elif match and match[1] == "call":
            name, _, arguments = match[2].partition(":")
            calls.append((name, arguments))
        elif match and match[1] in Script.__dataclass_fields__ and match[1] not in {"content", "flags", "calls"}:
            values[match[1]] = match[2]
        else:
            return Script(content=content, seed=sum(content.encode()))
    for name in ("tokens", "seed", "words", "reasoning", "status", "times", "cut_after", "stall_after", "error_after"):
        if name in values:
            values[name] = int(values[name])
    for name in ("rate", "delay"):
        if name in values:
            values[name] = float(values[name])
    for name in ("message", "refusal"):
        if name in values:
            values[name] = values[name].replace("_", " ")
    if calls:
        values.setdefault("tokens", 0)
    return Script(content=content, flags=frozenset(flags), calls=tuple(calls), **values)


def steps_of(content: str) -> list[str]:
    """The scripts of a message, one for each step; what is no script is one step."""
    content = content.rpartition(TASK)[2]
    steps = content.split(" then ")
    return steps if all(_is_script(step) for step in steps) else [content]


def _is_script(text: str) -> bool:
    return all(word in FLAGS or _DIRECTIVE.fullmatch(word) for word in text.split())


def step_in(messages: list[dict[str, Any]]) -> int:
    """Which step of the last user message's script is asked for: how often calls were made since."""
    made = 0
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        made += bool(message.get("tool_calls"))
    return made


def malformed(messages: list[dict[str, Any]]) -> str:
    """What a provider would refuse: a result without its call, a call without its result, arguments that are no JSON."""
    open_calls: set[str] = set()
    for message in messages:
        if message.get("role") == "tool":
            if message.get("tool_call_id") not in open_calls:
                return "a tool message answers no call"
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            return "a call is not answered"
        for call in message.get("tool_calls") or ():
            if not isinstance(json.loads(call["function"]["arguments"]), dict):
                return "arguments are no object"
            open_calls.add(call["id"])
    return "a call is not answered" if open_calls else ""


def token(index: int, seed: int) -> str:
    """The token at `index`. Each is unlike its neighbours, so that one lost or doubled shows; every seventh is not ASCII."""
    word = WORDS[(index * 7 + seed * 5) % len(WORDS)]
    return f"{word}{'·é' if index % 7 == 6 else ''}{index} "


def tokens_of(script: Script, messages: list[dict[str, Any]] | None = None) -> list[str]:
    """Every token of the text, in order (empty strings of `stamp` scripts are filled in when they are sent)."""
    if "echo" in script.flags:
        said = "".join(f"{entry['role']}: {entry['content']}\n" for entry in messages or ())
        return re.findall(r"\s*\S+\s*?|\s+", said)
    return [token(index, script.seed) * script.words for index in range(script.tokens)]


def remaining(tokens: list[str], prefix: str) -> list[str]:
    """What is left to say after `prefix`, whose end may lie within a token; all of it again where it is no prefix."""
    if not "".join(tokens).startswith(prefix):
        return ["[this is no prefix of the answer] ", *tokens]
    left = len(prefix)
    for index, piece in enumerate(tokens):
        if left < len(piece):
            return [piece[left:], *tokens[index + 1 :]]
        left -= len(piece)
    return []


def expected_text(content: str) -> str:
    """The whole text that a complete answer to the user message `content` has (no `echo`, no `stamp`)."""
    return "".join(text for step in steps_of(content) for text in tokens_of(parse_script(step)))


def expected_reasoning(content: str) -> str:
    """The whole reasoning that goes before it."""
    return "".join(reasoning_of(parse_script(content)))


def reasoning_of(script: Script) -> list[str]:
    """The reasoning tokens."""
    return [f"think{index} " for index in range(script.reasoning)]
