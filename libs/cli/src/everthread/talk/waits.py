"""What runs wait for, asked one after the other at the prompt, until somebody has answered: here or elsewhere. And what this
terminal itself asks before it does something."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from contracts import events as e
from everthread_client import EverthreadClient, ProblemError, UnreachableError

from everthread.answering import decision_of
from everthread.screen import printable
from everthread.talk.form import Form
from everthread.talk.prompt import Prompt
from everthread.talk.transcript import Transcript


@dataclass(frozen=True, slots=True)
class _Question:
    """What is done at a yes, and what is said at a no."""

    label: str
    do: Callable[[], Awaitable[None]]
    otherwise: str


class Waits:
    """The forms that are open, by run, and the terminal's own question, which goes first. While there is one, the next line at the
    prompt answers it."""

    def __init__(self, client: EverthreadClient, prompt: Prompt, transcript: Transcript) -> None:
        self._client = client
        self._prompt = prompt
        self._transcript = transcript
        self._forms: dict[str, Form] = {}
        self._question: _Question | None = None

    @property
    def asks(self) -> bool:
        """The next line answers a question."""
        return self._question is not None or bool(self._forms)

    def confirm(self, label: str, do: Callable[[], Awaitable[None]], *, otherwise: str) -> None:
        """Ask before `do`; it replaces what was asked so before. At a no `otherwise` is said."""
        self._question = _Question(label, do, otherwise)
        self._ask()

    def open(self, wait: e.RunWaiting) -> None:
        """Ask what the run waits for."""
        self._forms[wait.run_id] = Form(wait)
        self._ask()

    def close(self, run_id: str) -> None:
        """The run waits no more."""
        if self._forms.pop(run_id, None) is not None:
            self._ask()

    def clear(self) -> None:
        """Ask nothing of this thread's."""
        self._forms.clear()
        self._ask()

    async def answer(self, line: str) -> None:
        """The person's line for what asks first; a whole answer is sent. Raises UnreachableError: then the same is asked again."""
        if self._question is not None:
            await self._decide(self._question, line)
            return
        run_id, form = next(iter(self._forms.items()))
        try:
            whole = form.take(line)
        except ValueError as error:
            self._transcript.aside(f"{error}; try again", "warning")
            return
        if not whole:
            self._ask()
            return
        try:
            if form.approves:
                approved, note = form.answer
                await self._client.approve(run_id, approved, wait_id=form.wait.wait_id, note=note)
            else:
                await self._client.provide_input(run_id, form.answer, wait_id=form.wait.wait_id)
        except UnreachableError:
            form.once_more()
            self._ask()
            raise
        except ProblemError as error:
            self._transcript.aside(printable(error.detail), "warning")
            if error.code == "input_invalid":
                form.again()
                self._ask()
                return
        # The answer of another wait of the same run may have been asked for meanwhile.
        if self._forms.get(run_id) is form:
            self.close(run_id)

    async def _decide(self, question: _Question, line: str) -> None:
        decided = decision_of(line)
        if decided is None:
            self._transcript.aside("say y or n; try again", "warning")
            return
        # Before it is done: what is typed meanwhile is a message again.
        self._question = None
        self._ask()
        if not decided[0]:
            self._transcript.aside(question.otherwise)
            return
        try:
            await question.do()
        except UnreachableError:
            self._question = question
            self._ask()
            raise
        except ProblemError as error:
            self._transcript.aside(printable(error.detail), "warning")

    def _ask(self) -> None:
        if self._question is not None:
            self._prompt.ask(self._question.label)
        else:
            self._prompt.ask(next(iter(self._forms.values())).label if self._forms else None)
