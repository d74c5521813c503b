"""What runs wait for, asked one after the other at the prompt, until somebody has answered: here or elsewhere."""

from contracts import events as e
from everthread_client import EverthreadClient, ProblemError, UnreachableError

from everthread.screen import printable
from everthread.talk.form import Form
from everthread.talk.prompt import Prompt
from everthread.talk.transcript import Transcript


class Waits:
    """The forms that are open, by run. While one is, the next line at the prompt answers it."""

    def __init__(self, client: EverthreadClient, prompt: Prompt, transcript: Transcript) -> None:
        self._client = client
        self._prompt = prompt
        self._transcript = transcript
        self._forms: dict[str, Form] = {}

    @property
    def asks(self) -> bool:
        """The next line answers a question."""
        return bool(self._forms)

    def open(self, wait: e.RunWaiting) -> None:
        """Ask what the run waits for."""
        self._forms[wait.run_id] = Form(wait)
        self._ask()

    def close(self, run_id: str) -> None:
        """The run waits no more."""
        if self._forms.pop(run_id, None) is not None:
            self._ask()

    def clear(self) -> None:
        """Ask nothing."""
        self._forms.clear()
        self._ask()

    async def answer(self, line: str) -> None:
        """The person's line for the form that asks first; the whole answer is sent. Raises UnreachableError."""
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

    def _ask(self) -> None:
        self._prompt.ask(next(iter(self._forms.values())).label if self._forms else None)
