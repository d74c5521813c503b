"""Commands: imperative, may be refused. Work commands travel on COMMANDS; run commands are entries of the run's own log."""

import msgspec


class ExecuteRun(msgspec.Struct, kw_only=True, omit_defaults=True):
    """On COMMANDS: a worker shall claim the run and bring it to its terminal event. Idempotent: the claim fences.

    `deadline_at` (RFC 3339 UTC) is when the run fails with `run.failed{code: deadline}` if it has not ended.
    """

    run_id: str
    thread_id: str
    message_id: str
    user_id: str
    model: str
    path: str
    accepted_at: str
    deadline_at: str


class CancelRun(msgspec.Struct, tag_field="type", tag="cancel", kw_only=True):
    """In the run's log, under `command`: stop, keep what was written. `by` is the user's id."""

    by: str
    at: str


RunCommand = CancelRun
"""Every entry a run's `command` subject can hold (a union as it grows)."""
