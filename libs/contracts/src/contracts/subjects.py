"""Every NATS subject of Everthread. No other file spells one."""

import re
from functools import lru_cache
from typing import Final

from contracts.ids import DEVICE, DOCUMENT, FACT, RUN, THREAD, USER, WEBHOOK, InvalidIdError, check_corpus, check_id

LIVE: Final = "live."
"""Prefix of what RUNS and FEEDS republish once it is stored. Viewers subscribe here, never to the ingest subject."""

ALL_CLAIMS: Final = "run.*.*.claim"
ALL_EVENTS: Final = "run.*.*.event"
ALL_COMMANDS: Final = "run.*.*.command"
ALL_SNAPSHOTS: Final = "run.*.*.snapshot"
ALL_LEGACY: Final = "run.*.*.legacy"
"""What was told of an ended legacy run, in one entry (contracts.legacy_log)."""
LIVE_CLAIMS: Final = LIVE + ALL_CLAIMS
EXECUTE_ALL: Final = "cmd.run.*.execute"
DOCUMENT_COMMANDS: Final = "cmd.document.*.*"
THREAD_APPENDS: Final = "cmd.thread.*.append"
THREAD_FACTS: Final = "thread.>"
MAX_DELIVERIES_ADVISORY: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"
DEATH_NOTICES: Final = "sys.disconnect"
"""Where the system account's `$SYS.ACCOUNT.*.DISCONNECT` is imported for the services (deploy/nats)."""
ALL_CORPORA: Final = "corpus.>"
ALL_TIMERS: Final = "timer.>"
ALL_DUE: Final = "timer.due.>"
TOOLS: Final = "tool."
"""Prefix of the subjects on which services offer tools: `tool.<service>.<tool>`. A tool elsewhere is not called."""
ALL_TOOLS: Final = TOOLS + ">"
SERVICES_INFO: Final = "$SRV.INFO"
"""Every NATS micro service answers a request here with what it offers."""
ALL_SERVICE_CALLS: Final = "$SRV.>"
"""Where a NATS micro service listens for questions about itself."""
FLAG_VALUES: Final = "$KV.flags.>"
"""The key-value bucket `flags`, as the broker spells buckets: `nats kv get flags path` reads the flag `path`."""
BUDGET_VALUES: Final = "$KV.budgets.>"
"""The key-value bucket `budgets`: what each user has spent on each day."""
TICKET_VALUES: Final = "$KV.tickets.>"
"""The key-value bucket `tickets`: one-time tickets for WebSockets by the digest of their secret, for a minute."""
ALL_AUDITS: Final = "audit.>"
"""Who changed what, when and why; `live.audit.rollout.rolled_back` is what an alert listens to."""
ROLLOUT_AUDITS: Final = "audit.rollout.*"
ROLLOUT_VALUES: Final = "$KV.rollout.>"
"""The key-value bucket `rollout`: the guard's lease and state, and what the gateways observed."""

PRESENCE_VALUES: Final = "$KV.presence.>"
"""The key-value bucket `presence`: who watches which thread, through which gateway, and who types. Entries expire."""
RUN_FACTS: Final = "thread.*.run.*"
"""The facts about runs: ended, waiting."""
WEBHOOK_VALUES: Final = "$KV.webhooks.>"
"""The key-value bucket `webhooks`: who is told of what, at which address, signed with which secrets."""
DEVICE_VALUES: Final = "$KV.devices.>"
"""The key-value bucket `devices`: where browsers are reached that asked for it, and the key that they must be given."""
PUSH_KEY: Final = "$KV.devices.key"
PROCESS_VALUES: Final = "$KV.processes.>"
"""The key-value bucket `processes`: who runs, since when, in which version. Entries expire."""
ALL_WEBHOOK_WORK: Final = "webhook.due.>"
ALL_WEBHOOK_RESULTS: Final = "webhook.result.>"
MEMBERS_REMOVED: Final = "thread.*.thread.member_removed"
THREADS_DELETED: Final = "thread.*.thread.deleted"


@lru_cache(maxsize=4096)
def run_subject(thread_id: str, run_id: str, entry: str) -> str:
    """`run.<thread>.<run>.<entry>`; entry is claim, event, command, snapshot, legacy or timer. Raises InvalidIdError.

    Remembered, since every append of a run asks for the same two; what raises is not.
    """
    return f"run.{check_id(THREAD, thread_id)}.{check_id(RUN, run_id)}.{entry}"


def thread_events_subject(thread_id: str) -> str:
    """The events of every run of a thread."""
    return f"run.{check_id(THREAD, thread_id)}.*.event"


def thread_snapshots_subject(thread_id: str) -> str:
    """The last snapshot of every run of a thread."""
    return f"run.{check_id(THREAD, thread_id)}.*.snapshot"


def thread_subjects(thread_id: str) -> str:
    """Everything of every run of a thread."""
    return f"run.{check_id(THREAD, thread_id)}.>"


def live(subject: str) -> str:
    """Where the stream republishes what it stored under `subject`."""
    return LIVE + subject


def execute_subject(run_id: str) -> str:
    """Where the command to execute a run goes."""
    return f"cmd.run.{check_id(RUN, run_id)}.execute"


def document_command_subject(document_id: str, verb: str) -> str:
    """Where a command about a document goes; verb is `read` or `forget`."""
    return f"cmd.document.{check_id(DOCUMENT, document_id)}.{verb}"


def append_subject(thread_id: str) -> str:
    """Where an internal service puts something into a thread."""
    return f"cmd.thread.{check_id(THREAD, thread_id)}.append"


def fact_subject(thread_id: str, fact_type: str) -> str:
    """`thread.<thread>.<fact type>`, the type's dot kept: `thread.thr_….run.ended`."""
    return f"thread.{check_id(THREAD, thread_id)}.{fact_type}"


def feed_subject(user_id: str) -> str:
    """A user's feed."""
    return f"feed.{check_id(USER, user_id)}"


def corpus_subjects(corpus: str) -> str:
    """Everything that is stored of a corpus."""
    return f"corpus.{check_corpus(corpus)}.>"


def document_subject(corpus: str, document_id: str, entry: str) -> str:
    """`corpus.<corpus>.<document>.<entry>`; entry is `head` or `chunks-<number>`."""
    return f"corpus.{check_corpus(corpus)}.{check_id(DOCUMENT, document_id)}.{entry}"


def thread_corpus_subjects(thread_id: str) -> str:
    """Everything that is stored of a corpus that belongs to a thread."""
    return f"corpus.{check_id(THREAD, thread_id)}.>"


def fact_subjects(thread_id: str) -> str:
    """Every fact about a thread."""
    return f"thread.{check_id(THREAD, thread_id)}.>"


def timer_subject(kind: str, timer_id: str) -> str:
    """Where a message schedule is kept until it is due; kind is `run` or `schedule`. One per subject: the newest."""
    return f"timer.at.{kind}.{_check_key(timer_id)}"


def due_subject(kind: str, timer_id: str) -> str:
    """Where the server puts what `timer_subject` kept, once it is due."""
    return f"timer.due.{kind}.{_check_key(timer_id)}"


def dead_letter_subject(stream: str, consumer: str) -> str:
    """Where a delivery goes that could not be handled."""
    return f"dead.{stream}.{consumer}"


def adopt_subject(worker: str) -> str:
    """Request to a worker: do you execute this run, and will you beat for this delivery from now on?"""
    return f"worker.{worker}.adopt"


def rollout_audit_subject(change: str) -> str:
    """Where a change of the rollout is told."""
    return f"audit.rollout.{_check_key(change)}"


def flag_subject(name: str) -> str:
    """A flag's definition."""
    return f"$KV.flags.{_check_key(name)}"


def budget_subject(key: str) -> str:
    """A user's day of the bucket `budgets`."""
    return f"$KV.budgets.{_check_key(key)}"


def ticket_subject(digest: str) -> str:
    """The ticket whose secret has this digest."""
    return f"$KV.tickets.{_check_key(digest)}"


def rollout_subject(key: str) -> str:
    """A value of the bucket `rollout`, such as `lease`."""
    return f"$KV.rollout.{_check_key(key)}"


def presence_subject(thread_id: str, user_id: str, place: str) -> str:
    """What one gateway says about one member of a thread; `place` is the gateway's name, or `typing`."""
    return f"$KV.presence.{check_id(THREAD, thread_id)}.{check_id(USER, user_id)}.{_check_key(place)}"


def presence_subjects(thread_id: str, user_id: str = "*") -> str:
    """Everything about who is there of a thread, or of one of its members."""
    user = user_id if user_id == "*" else check_id(USER, user_id)
    return f"$KV.presence.{check_id(THREAD, thread_id)}.{user}.*"


def process_subject(kind: str, name: str = "*") -> str:
    """What one process of a kind (such as `inference`) says about itself; or all of that kind."""
    return f"$KV.processes.{_check_key(kind)}.{name if name == '*' else _check_key(name)}"


def webhook_subject(webhook_id: str) -> str:
    """A subscription."""
    return f"$KV.webhooks.{check_id(WEBHOOK, webhook_id)}"


def webhook_work_subject(webhook_id: str, event_id: str = "*") -> str:
    """What is to be delivered to a subscription, one subject per event; or of all its events."""
    event = event_id if event_id == "*" else check_id(FACT, event_id)
    return f"webhook.due.{check_id(WEBHOOK, webhook_id)}.{event}"


def webhook_result_subject(webhook_id: str, event_id: str = "*") -> str:
    """How the delivery of an event to a subscription went so far; or of all its events."""
    event = event_id if event_id == "*" else check_id(FACT, event_id)
    return f"webhook.result.{check_id(WEBHOOK, webhook_id)}.{event}"


def device_subject(user_id: str, device_id: str = "*") -> str:
    """Where one browser of a user is reached; or all of them."""
    device = device_id if device_id == "*" else check_id(DEVICE, device_id)
    return f"$KV.devices.{check_id(USER, user_id)}.{device}"


def device_subjects(device_id: str) -> str:
    """The same browser, whoever uses it."""
    return f"$KV.devices.*.{check_id(DEVICE, device_id)}"


def _check_key(text: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", text) is None:
        raise InvalidIdError(f"not a key: {text[:40]!r}")
    return text


def token_at(subject: str, index: int) -> str:
    """The token of a subject at `index`, counted from 0 without a leading `live.`: thread is 1, run is 2."""
    return subject.removeprefix(LIVE).split(".")[index]
