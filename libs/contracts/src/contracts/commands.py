"""Commands: imperative, may be refused. Work commands travel on COMMANDS; run commands are entries of the run's own log."""

from typing import Any, Final

import msgspec


class ExecuteRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """On COMMANDS: a worker shall claim the run and bring it to its terminal event. Idempotent: the claim fences.

    `deadline_at` (RFC 3339 UTC) is when the run fails with `run.failed{code: deadline}` if it has not ended. With `shadow_of`
    the run repeats that one unseen: tools with side effects are not carried out but answered from its record, which
    GetRunInput brings as `recorded_parts_json`.
    """

    run_id: str
    thread_id: str
    message_id: str
    user_id: str
    model: str
    path: str
    accepted_at: str
    deadline_at: str
    agent: str = ""
    shadow_of: str = ""


class ReadDocument(msgspec.Struct, tag_field="type", tag="read", kw_only=True):
    """On COMMANDS: a worker shall read an uploaded document into passages. Idempotent."""

    document_id: str
    corpus: str


class ForgetDocument(msgspec.Struct, tag_field="type", tag="forget", kw_only=True):
    """On COMMANDS: a worker shall take a deleted document's passages away. Idempotent."""

    document_id: str
    corpus: str


DocumentCommand = ReadDocument | ForgetDocument
"""Every command about documents."""


class CancelRun(msgspec.Struct, tag_field="type", tag="cancel", kw_only=True):
    """In the run's log, under `command`: stop, keep what was written. `by` is the user's id."""

    by: str
    at: str


class ProvideInput(msgspec.Struct, tag_field="type", tag="input", kw_only=True):
    """The answer to what the run waits for under `wait_id`: any JSON that fits the wait's schema. The first one counts."""

    wait_id: str
    value: Any
    by: str
    at: str


class DecideApproval(msgspec.Struct, tag_field="type", tag="approve", kw_only=True, omit_defaults=True):
    """Whether the tool call that waits under `wait_id` may be carried out. The first decision counts. `note` goes to the model
    where it is refused."""

    wait_id: str
    approved: bool
    by: str
    at: str
    note: str = ""


class SteerRun(msgspec.Struct, tag_field="type", tag="steer", kw_only=True):
    """A message of the user's that joins the running answer at its next step; `message_id` is the stored message, if any."""

    text: str
    by: str
    at: str
    message_id: str = ""


class AppendToThread(msgspec.Struct, kw_only=True, omit_defaults=True):
    """On COMMANDS under `cmd.thread.<thread>.append`: an internal service puts something into somebody's thread.

    `user_id` is in the thread and may write in it. `text` says to people and to the model what happened; `event` names it in
    the service's own words (`order.shipped`) and `data` is any JSON about it. With `answer` the text is a message to be
    answered, and a run begins. The message's `Nats-Msg-Id` names it: appended once, however often it is sent. Where the header
    REPLY_TO names a subject, an AppendOutcome goes there.
    """

    user_id: str
    service: str
    text: str
    event: str = ""
    data: Any = None
    answer: bool = False
    model: str = ""


REPLY_TO: Final = "Everthread-Reply"
"""Header of a command on COMMANDS: the core subject that its outcome is sent to, to whoever listens there then."""
APPEND_KEY: Final = "Everthread-Idempotency-Key"
"""Header: the name of an append, where it is not its `Nats-Msg-Id`. Who has not heard the outcome sends the same again under
another `Nats-Msg-Id`, since the broker drops one that it has seen, and hears it then."""


class AppendOutcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of an AppendToThread: the stored message (and the run that answers it), or why it was rejected: `code` for
    programs, `detail` for people. `repeated`: it had been appended before."""

    accepted: bool
    message_id: str = ""
    run_id: str = ""
    assistant_message_id: str = ""
    repeated: bool = False
    code: str = ""
    detail: str = ""


RunCommand = CancelRun | ProvideInput | DecideApproval | SteerRun
"""Every entry that a run's `command` subject can hold."""
