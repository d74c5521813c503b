"""The line one types in, and above it what grows: finished lines go into the terminal's own history, and nothing that is
written meanwhile disturbs what is being typed."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Literal

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from everthread.talk.ending import told_of_the_end

GROWING_ROWS: Final = 6
"""A line that goes on growing for more rows than this is put into the history in pieces, broken at a space."""
TYPED: Final = "you> "
_STYLE: Final = Style.from_dict(
    {
        "note": "ansibrightblack",
        "speaker": "ansicyan bold",
        "person": "ansigreen bold",
        "warning": "ansiyellow",
        "failure": "ansired",
        "marker": "ansimagenta",
        "status": "ansibrightblack",
        "prompt": "bold",
    }
)
Left = Literal["interrupted", "ended"] | int
"""How a talk ended: by Ctrl-C, by the person's wish, or by a signal."""
Line = tuple[str, str]
"""A style's name, or none, and the text of a line."""


class _Keys(Vt100Input):
    """The keys of a terminal, as they are also while lines are put above the prompt. prompt_toolkit lets the terminal have them
    meanwhile, which shows them among the lines and takes Ctrl-D for itself; nothing that is printed here reads any."""

    def cooked_mode(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


class Prompt:
    """A terminal that a person talks in. `submitted` is handed each line; `changed` is told that the person types."""

    def __init__(self, *, submitted: Callable[[str], None], changed: Callable[[], None], words: list[str]) -> None:
        self._submitted = submitted
        self._pending: list[Line] = []
        self._some = asyncio.Event()
        self._growing: list[Line] = []
        self._status = ""
        self._label = TYPED
        self._form: str | None = None
        self._draft = ""
        self._left: Left = "ended"
        self._is_left = False
        self._buffer = Buffer(
            multiline=True,
            history=InMemoryHistory(),
            auto_suggest=AutoSuggestFromHistory(),
            completer=WordCompleter(words, sentence=True),
            complete_while_typing=Condition(lambda: self._buffer.text.startswith("/")),
            on_text_changed=lambda _: changed(),
        )
        # Terminals that do not answer where the cursor is would be complained about; nothing here needs to know.
        output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
        output.enable_cpr = False
        self._app: Application[None] = Application(
            layout=Layout(self._layout()),
            key_bindings=self._keys(),
            style=_STYLE,
            input=_Keys(sys.stdin),
            output=output,
            erase_when_done=True,
            refresh_interval=1.0,
        )

    @property
    def columns(self) -> int:
        """The terminal's width."""
        return self._app.output.get_size().columns

    def write(self, text: str, style: str = "") -> None:
        """Put lines above the prompt, for good."""
        self._pending += [(style, line) for line in text.split("\n")]
        self._some.set()

    def show(self, growing: list[Line], status: str) -> None:
        """What grows right above the prompt now, and the status line below it."""
        if (growing, status) != (self._growing, self._status):
            self._growing, self._status = growing, status
            self._app.invalidate()

    def ask(self, label: str | None) -> None:
        """What the next line answers; None: it is a message. A message that was begun is kept meanwhile."""
        if label is not None and self._form is None:
            self._draft = self._buffer.text
            self._buffer.reset()
        elif label is None and self._form is not None:
            self.retype(self._draft)
            self._draft = ""
        self._form = label
        self._app.invalidate()

    def name(self, label: str) -> None:
        """What stands before a message."""
        self._label = label
        self._app.invalidate()

    def retype(self, text: str) -> None:
        """Put a text where one types, as that of a message that could not be sent."""
        self._buffer.text = text
        self._buffer.cursor_position = len(text)

    def leave(self, how: Left = "ended") -> None:
        """End `run`. The first call counts."""
        if self._is_left:
            return
        self._left, self._is_left = how, True
        self._exit()

    def _exit(self) -> None:
        if self._is_left and self._app.is_running and not self._app.is_done:
            self._app.exit()

    async def run(self) -> Left:
        """Until the person leaves: by Ctrl-C (`interrupted`), Ctrl-D or a command; or until this process is told to end. The
        terminal is then as it was before."""
        printing = asyncio.create_task(self._print(), name="lines above the prompt")
        try:
            async with told_of_the_end(self.leave):
                await self._app.run_async(pre_run=self._exit)
        finally:
            printing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await printing
            self.flush()
        return self._left

    def flush(self) -> None:
        """Print what was written after `run` had ended."""
        self._render(self._taken())

    async def _print(self) -> None:
        while True:
            await self._some.wait()
            lines = self._taken()
            if lines:
                await run_in_terminal(lambda lines=lines: self._render(lines))  # type: ignore[misc]  # of this turn

    def _taken(self) -> list[Line]:
        lines, self._pending = self._pending, []
        self._some.clear()
        return lines

    def _render(self, lines: list[Line]) -> None:
        parts: StyleAndTextTuples = []
        for style, text in lines:
            parts += [(f"class:{style}" if style else "", text), ("", "\n")]
        if parts:
            print_formatted_text(self._app.output, parts, _STYLE)

    def _layout(self) -> HSplit:
        growing = Window(FormattedTextControl(self._growing_text), wrap_lines=True, dont_extend_height=True)
        line = Window(
            BufferControl(
                self._buffer, input_processors=[BeforeInput(lambda: self._form or self._label, style="class:prompt")]
            ),
            wrap_lines=True,
            dont_extend_height=True,
            height=Dimension(min=1, max=8),
        )
        menu = ConditionalContainer(
            CompletionsMenu(max_height=6),
            Condition(lambda: self._buffer.complete_state is not None and self._buffer.text.startswith("/")),
        )
        status = Window(FormattedTextControl(lambda: [("class:status", self._status)]), height=1)
        return HSplit([ConditionalContainer(growing, Condition(lambda: bool(self._growing))), line, menu, status])

    def _growing_text(self) -> StyleAndTextTuples:
        parts: StyleAndTextTuples = []
        for index, (style, text) in enumerate(self._growing):
            parts.append((f"class:{style}" if style else "", text + ("\n" if index + 1 < len(self._growing) else "")))
        return parts

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            text = self._buffer.text
            self._buffer.append_to_history()
            self._buffer.reset()
            self._submitted(text)

        @keys.add("escape", "enter")
        def _(event: KeyPressEvent) -> None:
            self._buffer.newline()

        @keys.add("c-c")
        @keys.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            if self._buffer.text:
                self._buffer.reset()
            else:
                self.leave("interrupted")

        @keys.add("c-d", filter=Condition(lambda: not self._buffer.text))
        def _(event: KeyPressEvent) -> None:
            self.leave()

        return keys


def cut(text: str, columns: int) -> tuple[str, str]:
    """What of a growing line goes into the history now, and what goes on growing: nothing goes while it is short enough."""
    limit = max(columns, 20) * GROWING_ROWS
    if get_cwidth(text) <= limit:
        return "", text
    place = text.rfind(" ", 0, max(limit // 2, 1))
    return (text[: limit // 2], text[limit // 2 :]) if place <= 0 else (text[:place], text[place + 1 :])
