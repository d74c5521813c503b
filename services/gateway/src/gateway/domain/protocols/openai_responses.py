"""OpenAI Responses: stream events with `sequence_number` from 0, and the response object they build.

- Every text part is a message item, every reasoning part a reasoning item. A tool that Everthread runs itself is an
  `mcp_call` item (server label `everthread`), shown once it runs; what is still pending when the run completes was left to
  the client and is a `function_call` item.
- Retraction: a regenerated text goes on in the item of the text taken back as long as it repeats it. Where it differs, that
  item ends `incomplete` and empty, is not part of the final output, and the new text is a new item
  (docs/adr/0006-retraction-in-protocols-without-one.md).
- The two SDKs' accumulators want items numbered in the order they are added, each ended before `response.completed`.
- A text that ended at the model's own limit is `completed`: the request cannot set a limit, and the stored answer is whole.
- There is no event for a cancelled response: it ends with `response.incomplete` whose response has status `cancelled`.
- A response whose log is gone is made anew of what is stored, in other and fewer events. Their numbers lie above all that a log
  was counted by, so that no client takes one for an event that it has had: not where it names the last one that it has, and not
  where it asks for all and drops what it knows by the number, as the SDKs' helpers do.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from contracts import events as e
from contracts.parts import ToolCallPart

from gateway.domain.protocols.frame import Frame, FramePlace, frame
from gateway.domain.protocols.json_text import json_text
from gateway.domain.protocols.openai_response_object import (
    SERVER_LABEL,
    About,
    annotation_of,
    failure,
    function_item,
    mcp_item,
    message_item,
    output_text,
    reasoning_item,
    reasoning_text,
    response_object,
)
from gateway.domain.protocols.retraction import is_retracted

MADE_ANEW: Final = 1_000_000_000
"""The first number of a response that is made of as much as there is now: nothing can be found again by it."""
MADE_OF_THE_STORED: Final = 2_000_000_000
"""The first number of one that is made of its stored answer, which never changes. Below 2^31, which some clients read into."""


@dataclass(slots=True)
class _Item:
    """An output item under way. `texts` are what was streamed into it; `part` is the log's part it shows now, `agent` whose
    it is."""

    index: int
    id: str
    kind: str
    opened_at: int = 0
    part: int = -1
    agent: str | None = None
    texts: list[str] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    done: dict[str, Any] | None = None
    retracted: bool = False

    @property
    def text(self) -> str:
        return "".join(self.texts)


class ResponsesMapping:
    """One run's stream events. `final` is the response object of the last one, once it `ended`."""

    def __init__(self, about: About) -> None:
        self.ended = False
        self.final: dict[str, Any] | None = None
        self._about = about
        self._first = self._next = 0
        self._opened = False
        self._items: list[_Item] = []
        self._open: dict[int, _Item] = {}
        self._taken_back: list[_Item] = []
        self._matched: dict[int, list[str]] = {}
        self._calls: dict[str, ToolCallPart] = {}
        self._call_parts: dict[str, int] = {}
        self._call_items: dict[str, _Item] = {}
        self._sources: list[dict[str, Any]] = []

    def made_anew(self, *, ended: bool) -> None:
        """See CountedMapping."""
        self._first = self._next = MADE_OF_THE_STORED if ended else MADE_ANEW

    def come_back(self, place: FramePlace) -> FramePlace:
        """A number of another count than this one's says nothing here: the response is told from its beginning, as its
        `response.created` says."""
        if place.skip < MADE_ANEW and self._first == 0:
            return place
        if place.skip >= MADE_OF_THE_STORED == self._first:
            return FramePlace(0, place.skip - MADE_OF_THE_STORED)
        return FramePlace()

    def opening(self) -> list[Frame]:
        """The events that stand before the log: the response exists and is queued. Once; `feed` says them if nobody asked."""
        if self._opened:
            return []
        self._opened = True
        queued = response_object(self._about, status="queued", output=[])
        return [self._event("created", response=queued), self._event("queued", response=queued)]

    def feed(self, event: e.RunEvent) -> list[Frame]:
        """The stream events of the next event of the log."""
        if isinstance(event, e.TextDelta):
            item = self._open.get(event.part)
            if item is not None and event.part not in self._matched:
                item.texts.append(event.delta)
                return [self._text_delta(item, event.delta)]
        return self.opening() + self._frames(event)

    def _frames(self, event: e.RunEvent) -> list[Frame]:
        match event:
            case e.TextDelta():
                return self._text(event)
            case e.ReasoningDelta():
                return self._reasoning(event)
            case e.RunStarted():
                running = response_object(self._about, status="in_progress", output=[])
                return [self._event("in_progress", response=running)]
            case e.StepFinished():
                return self._end_texts(event.agent)
            case e.TextRetracted():
                return self._retract(event)
            case e.ToolCall():
                self._calls[event.tool_call_id] = ToolCallPart(
                    tool_call_id=event.tool_call_id, name=event.name, state=event.state, input=event.input
                )
                self._call_parts[event.tool_call_id] = event.part
                return self._end_reasoning(event.agent)
            case e.ToolProgress() | e.ToolResult():
                return self._tool(event)
            case e.Source():
                return self._source(event)
            case e.RunWaiting():
                return self._ask(event)
            case e.RunCompleted() | e.RunFailed() | e.RunCancelled():
                return self._end(event)
            case _:
                return []

    # Text

    def _text(self, event: e.TextDelta) -> list[Frame]:
        item = self._open.get(event.part)
        if item is not None:
            return self._match(item, event.part, event.delta)
        frames = self._end_reasoning(event.agent)
        for part in list(self._matched):
            # The agent's text before this one is over, and shorter than what was shown of it.
            if self._open[part].agent == event.agent:
                frames += self._diverge(self._open[part], part)
        orphan = next(iter(self._taken_back_of(event.agent)), None)
        if orphan is None:
            item, opened = self._add_message(event)
            item.texts.append(event.delta)
            return [*frames, *opened, self._text_delta(item, event.delta)]
        self._taken_back.remove(orphan)
        orphan.part, orphan.opened_at = event.part, event.sequence
        self._open[event.part] = orphan
        self._matched[event.part] = []
        return frames + self._match(orphan, event.part, event.delta)

    def _match(self, item: _Item, part: int, delta: str) -> list[Frame]:
        """A delta of a regenerated text: nothing to say while it repeats the item's text."""
        so_far = self._matched[part]
        so_far.append(delta)
        text, shown = "".join(so_far), item.text
        if shown.startswith(text) and len(text) < len(shown):
            return []
        if text.startswith(shown):
            del self._matched[part]
            new = text[len(shown) :]
            if not new:
                return []
            item.texts.append(new)
            return [self._text_delta(item, new)]
        return self._diverge(item, part)

    def _diverge(self, item: _Item, part: int) -> list[Frame]:
        """The regenerated text differs: end the old item empty and begin a new one with the text so far."""
        text = "".join(self._matched.pop(part))
        frames = self._discard([item, *self._taken_back_of(item.agent)])
        del self._open[part]
        new = self._new_item("message", f"msg_{self._suffix(part)}")
        new.part, new.opened_at, new.agent = part, item.opened_at, item.agent
        self._open[part] = new
        frames += self._open_message(new)
        new.texts.append(text)
        return [*frames, self._text_delta(new, text)]

    def _add_message(self, event: e.TextDelta) -> tuple[_Item, list[Frame]]:
        item = self._new_item("message", f"msg_{self._suffix(event.part)}")
        item.part, item.opened_at, item.agent = event.part, event.sequence, event.agent
        self._open[event.part] = item
        return item, self._open_message(item)

    def _open_message(self, item: _Item) -> list[Frame]:
        frames = [
            self._item_event("output_item.added", item, item=message_item(item.id, "in_progress", [])),
            self._content_event("content_part.added", item, part=output_text("", [])),
        ]
        for annotation in self._sources:
            frames.append(self._annotate(item, annotation))
        self._sources = []
        return frames

    def _text_delta(self, item: _Item, delta: str) -> Frame:
        return self._content_event("output_text.delta", item, delta=delta, logprobs=[])

    def _taken_back_of(self, agent: str | None) -> list[_Item]:
        return [item for item in self._taken_back if item.agent == agent]

    def _end_texts(self, agent: str | None) -> list[Frame]:
        frames: list[Frame] = []
        for part in [number for number, item in self._open.items() if item.agent == agent]:
            frames += self._end_text(part, "completed")
        return frames

    def _end_text(self, part: int, status: str) -> list[Frame]:
        frames = self._diverge(self._open[part], part) if part in self._matched else []
        item = self._open.pop(part)
        if item.kind == "reasoning":
            return self._end_reasoning_item(item, status)
        part_done = output_text(item.text, item.annotations)
        item.done = message_item(item.id, status, [part_done])
        return [
            *frames,
            self._content_event("output_text.done", item, text=item.text, logprobs=[]),
            self._content_event("content_part.done", item, part=part_done),
            self._item_event("output_item.done", item, item=item.done),
        ]

    # Reasoning

    def _reasoning(self, event: e.ReasoningDelta) -> list[Frame]:
        item = self._open.get(event.part)
        frames: list[Frame] = []
        if item is None:
            item = self._new_item("reasoning", f"rs_{self._suffix(event.part)}_{event.sequence}")
            item.part, item.opened_at, item.agent = event.part, event.sequence, event.agent
            self._open[event.part] = item
            frames = [
                self._item_event("output_item.added", item, item=reasoning_item(item.id, "in_progress", [])),
                self._content_event("content_part.added", item, part=reasoning_text("")),
            ]
        item.texts.append(event.delta)
        return [*frames, self._content_event("reasoning_text.delta", item, delta=event.delta)]

    def _end_reasoning(self, agent: str | None) -> list[Frame]:
        frames: list[Frame] = []
        mine = [number for number, item in self._open.items() if item.agent == agent]
        for part in [number for number in mine if self._open[number].kind == "reasoning"]:
            frames += self._end_reasoning_item(self._open.pop(part), "completed")
        return frames

    def _end_reasoning_item(self, item: _Item, status: str) -> list[Frame]:
        item.done = reasoning_item(item.id, status, [reasoning_text(item.text)])
        return [
            self._content_event("reasoning_text.done", item, text=item.text),
            self._content_event("content_part.done", item, part=reasoning_text(item.text)),
            self._item_event("output_item.done", item, item=item.done),
        ]

    # Retraction

    def _retract(self, event: e.TextRetracted) -> list[Frame]:
        frames: list[Frame] = []
        for item in self._items:
            if item.kind not in ("message", "reasoning") or item.retracted:
                continue
            if not is_retracted(event, item.opened_at, item.agent):
                continue
            self._open.pop(item.part, None)
            self._matched.pop(item.part, None)
            if item.kind == "message" and item.done is None:
                if item not in self._taken_back:
                    self._taken_back.append(item)
            else:
                frames += self._discard([item])
        self._taken_back.sort(key=lambda item: item.index)
        return frames

    def _discard(self, items: list[_Item]) -> list[Frame]:
        """End items whose text the log no longer has: empty, incomplete, and not part of the final output."""
        frames: list[Frame] = []
        for item in items:
            if item in self._taken_back:
                self._taken_back.remove(item)
            item.retracted = True
            if item.kind == "reasoning" and item.done is not None:
                continue
            if item.kind == "message":
                # The sources are the log's still; they go to the text that takes this one's place.
                self._sources += item.annotations
                item.annotations = []
                item.done = message_item(item.id, "incomplete", [])
            else:
                item.done = reasoning_item(item.id, "incomplete", [])
            frames.append(self._item_event("output_item.done", item, item=item.done))
        return frames

    # Tools and sources

    def _tool(self, event: e.ToolProgress | e.ToolResult) -> list[Frame]:
        call = self._calls.get(event.tool_call_id)
        if call is None:
            return []
        call.state = event.state
        frames: list[Frame] = []
        item = self._call_items.get(event.tool_call_id)
        if item is None:
            item = self._new_item("mcp_call", f"mcp_{self._suffix(len(self._items))}")
            item.part = self._call_parts[event.tool_call_id]
            self._call_items[event.tool_call_id] = item
            frames = self._open_call(item, call)
        if not isinstance(event, e.ToolResult) or item.done is not None:
            return frames
        call.output, call.error = event.output, event.error
        failed = call.state == "error"
        item.done = mcp_item(item.id, call, "failed" if failed else "completed")
        return [
            *frames,
            self._item_event("mcp_call.failed" if failed else "mcp_call.completed", item, item_id=item.id),
            self._item_event("output_item.done", item, item=item.done),
        ]

    def _open_call(self, item: _Item, call: ToolCallPart) -> list[Frame]:
        arguments = json_text(call.input)
        return [
            self._item_event(
                "output_item.added", item, item=mcp_item(item.id, call, "in_progress") | {"arguments": ""}
            ),
            self._item_event("mcp_call.in_progress", item, item_id=item.id),
            self._item_event("mcp_call_arguments.delta", item, item_id=item.id, delta=arguments),
            self._item_event("mcp_call_arguments.done", item, item_id=item.id, arguments=arguments),
        ]

    def _leave_to_client(self) -> list[Frame]:
        frames: list[Frame] = []
        for call in self._calls.values():
            if call.tool_call_id in self._call_items or call.state != "pending":
                continue
            item = self._new_item("function_call", f"fc_{self._suffix(len(self._items))}")
            item.part = self._call_parts[call.tool_call_id]
            arguments = json_text(call.input)
            item.done = function_item(item.id, call)
            frames += [
                self._item_event(
                    "output_item.added", item, item=item.done | {"arguments": "", "status": "in_progress"}
                ),
                self._item_event("function_call_arguments.delta", item, item_id=item.id, delta=arguments),
                self._item_event(
                    "function_call_arguments.done", item, item_id=item.id, name=call.name, arguments=arguments
                ),
                self._item_event("output_item.done", item, item=item.done),
            ]
        return frames

    def _source(self, event: e.Source) -> list[Frame]:
        annotation = annotation_of(event)
        open_item = next((item for item in reversed(self._open.values()) if item.kind == "message"), None)
        if open_item is None:
            self._sources.append(annotation)
            return []
        return [self._annotate(open_item, annotation)]

    def _annotate(self, item: _Item, annotation: dict[str, Any]) -> Frame:
        item.annotations.append(annotation)
        return self._content_event(
            "output_text.annotation.added",
            item,
            annotation_index=len(item.annotations) - 1,
            annotation=annotation,
        )

    def _ask(self, event: e.RunWaiting) -> list[Frame]:
        if event.reason != "approval":
            return []
        frames: list[Frame] = []
        for call in self._calls.values():
            if call.state != "pending" or call.tool_call_id in self._call_items:
                continue
            item = self._new_item("mcp_approval_request", f"mcpr_{self._suffix(len(self._items))}")
            item.part = self._call_parts[call.tool_call_id]
            item.done = {
                "type": "mcp_approval_request",
                "id": item.id,
                "name": call.name,
                "arguments": json_text(call.input),
                "server_label": SERVER_LABEL,
            }
            frames.append(self._item_event("output_item.added", item, item=item.done))
            frames.append(self._item_event("output_item.done", item, item=item.done))
        return frames

    # The end

    def _end(self, event: e.Terminal) -> list[Frame]:
        completed = isinstance(event, e.RunCompleted)
        frames: list[Frame] = []
        for part in list(self._open):
            frames += self._end_text(part, "completed" if completed else "incomplete")
        frames += self._discard(list(self._taken_back))
        for call_id, item in self._call_items.items():
            if item.done is None:
                item.done = mcp_item(item.id, self._calls[call_id], "incomplete")
                frames.append(self._item_event("output_item.done", item, item=item.done))
        if completed:
            frames += self._leave_to_client()
        self.ended = True
        # In the order of the stored message: of agents that answer at once, the one that was written anew comes last.
        items = sorted(self._items, key=lambda item: item.part)
        output = [item.done for item in items if item.done is not None and not item.retracted]
        about, usage = self._about, event.usage
        match event:
            case e.RunCompleted():
                response = response_object(about, status="completed", output=output, usage=usage)
                name = "completed"
            case e.RunCancelled():
                response = response_object(about, status="cancelled", output=output, usage=usage)
                name = "incomplete"
            case e.RunFailed():
                error = failure(event.code, event.message)
                response = response_object(about, status="failed", output=output, usage=usage, error=error)
                name = "failed"
        self.final = response
        return [*frames, self._event(name, response=response)]

    # Frames

    def _new_item(self, kind: str, identity: str) -> _Item:
        item = _Item(index=len(self._items), id=identity, kind=kind)
        self._items.append(item)
        return item

    def _suffix(self, number: int) -> str:
        return f"{self._about.run_id.partition('_')[2]}_{number}"

    def _event(self, name: str, /, **fields: Any) -> Frame:
        kind = f"response.{name}"
        payload = {"type": kind, "sequence_number": self._next} | fields
        self._next += 1
        return frame(payload, kind)

    def _item_event(self, name: str, of: _Item, /, **fields: Any) -> Frame:
        return self._event(name, output_index=of.index, **fields)

    def _content_event(self, name: str, of: _Item, /, **fields: Any) -> Frame:
        return self._event(name, item_id=of.id, output_index=of.index, content_index=0, **fields)
