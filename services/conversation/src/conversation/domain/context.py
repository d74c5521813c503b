"""What the model is sent: system prompt, the history along the branch as far as it fits, the message to answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from contracts.parts import Part, ToolCallPart
from contracts.registry import Model

from conversation.domain.entities import Message, Run, User

BYTES_PER_TOKEN: Final = 3
"""Deliberately pessimistic: English has about 4 bytes of UTF-8 per token, most other scripts 3 or fewer."""
PER_MESSAGE: Final = 6
"""Tokens of the frame that providers put around each message."""


@dataclass(frozen=True, slots=True)
class InputMessage:
    """One message for the model. `parts` are those of an answer that called tools, else there are none."""

    role: Literal["system", "user", "assistant"]
    content: str
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """A run with the message that it answers and the user for whom."""

    run: Run
    question: Message | None
    user: User | None


@dataclass(frozen=True, slots=True)
class RunInput:
    """What inference asks the model with."""

    model: str
    messages: Sequence[InputMessage]
    agent: str = ""
    user_id: str = ""
    roles: tuple[str, ...] = ()
    recorded: tuple[Part, ...] = ()
    """Of a shadow run: what the served answer consists of."""
    client_tools: str = ""
    """What the client brought for the model to call, as JSON."""


def estimated_tokens(text: str) -> int:
    """About how many tokens a message with this text costs, rather too many than too few."""
    return len(text.encode()) // BYTES_PER_TOKEN + PER_MESSAGE


def room_for_input(model: Model) -> int:
    """Tokens of the context window that are not kept for the answer: a quarter of it, or the longest answer if that is less."""
    quarter = model.context_window // 4
    return model.context_window - min(quarter, model.max_output_tokens or quarter)


class Context:
    """Gathers the context from the message to answer backwards. Offer it messages newest first until it `wants_more` no longer.

    A client's results go into the calls of the answer before them, so that neither is ever without the other. Where they are
    what is to be answered, everything back to the user's message goes in, whatever its size: inference shortens results.
    """

    def __init__(self, question: Message, system_prompt: str, model: Model, told: str = "") -> None:
        """`told` is what the client has the model know for this run alone."""
        self._system = [InputMessage("system", text) for text in (system_prompt, told) if text]
        self._newest_first: list[InputMessage] = []
        self._results: list[Message] = []
        if question.is_results:
            self._results.append(question)
        else:
            self._newest_first.append(InputMessage("user", question.content))
        self._wanted = question.parent_message_id
        self._room = room_for_input(model) - sum(
            estimated_tokens(message.content) for message in (*self._system, *self._newest_first)
        )

    def wants_more(self) -> bool:
        """An older message could still be used."""
        return bool(self._wanted) and (self._room > 0 or not self._has_question)

    @property
    def _has_question(self) -> bool:
        return any(message.role == "user" for message in self._newest_first)

    def offer(self, message: Message) -> None:
        """Take the message if it is the next one along the branch and fits."""
        if not self.wants_more() or message.id != self._wanted:
            return
        self._wanted = message.parent_message_id
        if not _is_usable(message):
            if message.role == "assistant":
                self._let_results_go()
            return
        if message.is_results:
            self._results.append(message)
            return
        if message.role == "tool":
            self._offer_appended(message)
            return
        parts = self._with_results(_tool_parts(message))
        self._let_results_go()
        cost = estimated_tokens(message.content) + sum(estimated_tokens(str(part)) for part in parts)
        if cost > self._room and self._has_question:
            # Older messages that would still fit are left out too: a history with a hole misleads the model.
            self._wanted = ""
            return
        self._room -= cost
        self._newest_first.append(InputMessage(message.role, message.content, parts))

    def _with_results(self, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        """An answer's parts with what came of the calls that were left to the client."""
        given = {
            result.tool_call_id: (message, result)
            for message in self._results
            for result in message.parts
            if isinstance(result, ToolCallPart)
        }
        filled: list[Part] = []
        for part in parts:
            found = given.get(part.tool_call_id) if isinstance(part, ToolCallPart) and part.state == "pending" else None
            if found is not None and isinstance(part, ToolCallPart):
                message, result = found
                part = ToolCallPart(
                    tool_call_id=part.tool_call_id,
                    name=part.name,
                    state=result.state,
                    input=part.input,
                    output=result.output,
                    error=result.error,
                )
                self._results = [held for held in self._results if held is not message]
            filled.append(part)
        return tuple(filled)

    def _let_results_go(self) -> None:
        """Results whose calls are not there: read as what somebody said."""
        held, self._results = self._results, []
        for message in held:
            self._offer_appended(message)

    def _offer_appended(self, message: Message) -> None:
        """What a service appended. Providers refuse the result of a tool that nobody called, so the model reads it as said by
        the user, with the event's name before it."""
        names = [part.name for part in message.parts if isinstance(part, ToolCallPart)]
        text = f"[{names[0]}] {message.content}" if names else message.content
        cost = estimated_tokens(text)
        if cost > self._room and self._has_question:
            self._wanted = ""
            return
        self._room -= cost
        self._newest_first.append(InputMessage("user", text))

    @property
    def messages(self) -> list[InputMessage]:
        """System prompt, history oldest first, the message to answer."""
        self._let_results_go()
        history = list(reversed(self._newest_first))
        # A history that was cut must not begin in the middle of an exchange: some providers refuse an assistant first.
        while len(history) > 1 and history[0].role == "assistant":
            history.pop(0)
        return [*self._system, *history]


def _is_usable(message: Message) -> bool:
    finished = message.status == "complete" or (message.status == "cancelled" and message.role == "assistant")
    return finished and bool(message.content.strip() or _tool_parts(message))


def _tool_parts(message: Message) -> tuple[Part, ...]:
    """All parts of an answer that called tools, so that the model sees what came of them."""
    return message.parts if any(isinstance(part, ToolCallPart) for part in message.parts) else ()
