"""Streams and consumers as data. `bus.reconcile` makes the server match; nothing else creates or changes one."""

from dataclasses import dataclass, field
from typing import Final, Literal

from contracts import subjects

MINIMUM_SERVER: Final = (2, 12, 0)
"""Message schedules, atomic batches and counters of the design need this nats-server; an older one is refused at start."""

DAY: Final = 24 * 3600.0
GIB: Final = 1024**3


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One JetStream stream. Seconds and bytes. `discard="new"` refuses when full, so that nothing is lost silently."""

    name: str
    subjects: tuple[str, ...]
    why: str
    retention: Literal["limits", "workqueue"] = "limits"
    discard: Literal["new", "old"] = "new"
    storage: Literal["file", "memory"] = "file"
    max_age: float = 0.0
    max_bytes: int = -1
    max_msgs_per_subject: int = -1
    duplicate_window: float = 120.0
    republish: bool = False
    allow_rollup: bool = False
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    allow_atomic: bool = False


@dataclass(frozen=True, kw_only=True)
class Consumer:
    """One durable pull consumer with explicit acknowledgement. `backoff` is the wait before each redelivery, in seconds."""

    name: str
    stream: str
    filter: str
    why: str
    ack_wait: float = 30.0
    max_deliver: int = 10
    backoff: tuple[float, ...] = field(default=())
    max_ack_pending: int = 1000
    inactive_seconds: float = 0.0
    """After how long without anybody who asks the server forgets the consumer; 0: never."""


RUNS: Final = Stream(
    name="RUNS",
    subjects=("run.>",),
    why="The run log: claims, events, commands and snapshots of every run. (No timers: the server refuses schedules on a"
    " stream that refuses when full.)",
    max_age=7 * DAY,
    max_bytes=8 * GIB,
    republish=True,
    allow_rollup=True,
    allow_msg_ttl=True,
    allow_atomic=True,
)
COMMANDS: Final = Stream(
    name="COMMANDS",
    subjects=("cmd.>",),
    why="Work to do, each item until it is acknowledged.",
    retention="workqueue",
    max_bytes=1 * GIB,
)
THREADS: Final = Stream(
    name="THREADS",
    subjects=(subjects.THREAD_FACTS,),
    why="Facts about threads, for whoever relies on them.",
    max_age=7 * DAY,
    max_bytes=2 * GIB,
    republish=True,
)
FEEDS: Final = Stream(
    name="FEEDS",
    subjects=("feed.*",),
    why="What each user's devices show, kept for those who are away.",
    discard="old",
    max_age=30 * DAY,
    max_msgs_per_subject=5000,
    max_bytes=2 * GIB,
    republish=True,
)
CORPORA: Final = Stream(
    name="CORPORA",
    subjects=(subjects.ALL_CORPORA,),
    why="The chunks of documents with their vectors: what every search index is built from. One entry per subject: the newest.",
    max_msgs_per_subject=1,
    max_bytes=4 * GIB,
)
TIMERS: Final = Stream(
    name="TIMERS",
    subjects=(subjects.ALL_TIMERS,),
    why="Message schedules: what is due later, and what is due now until it is acknowledged. A stream of its own, since the"
    " server refuses schedules on one that refuses when full.",
    discard="old",
    max_bytes=1 * GIB,
    allow_rollup=True,
    allow_msg_ttl=True,
    allow_msg_schedules=True,
)
DEAD_LETTERS: Final = Stream(
    name="DEAD_LETTERS",
    subjects=("dead.>",),
    why="Deliveries that could not be handled, with the reason, until somebody decides.",
    max_bytes=1 * GIB,
)
ADVISORIES: Final = Stream(
    name="ADVISORIES",
    subjects=(subjects.MAX_DELIVERIES_ADVISORY,),
    why="The server's notice that a delivery was tried often enough; core NATS would forget it.",
    retention="workqueue",
    discard="old",
    max_age=7 * DAY,
    max_bytes=64 * 1024**2,
)
TICKETS: Final = Stream(
    name="KV_tickets",
    subjects=(subjects.TICKET_VALUES,),
    why="The key-value bucket of one-time tickets for WebSockets: good at any gateway, used at one.",
    discard="old",
    max_age=60.0,
    duplicate_window=60.0,
    max_msgs_per_subject=1,
    max_bytes=64 * 1024**2,
)
AUDIT: Final = Stream(
    name="AUDIT",
    subjects=(subjects.ALL_AUDITS,),
    why="Who changed what, when and why, the guard of the rollout included: for audits, and for alerts to hear.",
    max_age=400 * DAY,
    max_bytes=256 * 1024**2,
    republish=True,
)
FLAGS: Final = Stream(
    name="KV_flags",
    subjects=(subjects.FLAG_VALUES,),
    why="The key-value bucket of flags, every definition there ever was: who may answer by which path, since when, and why.",
    max_bytes=256 * 1024**2,
    republish=True,
    allow_rollup=True,
)
ROLLOUT: Final = Stream(
    name="KV_rollout",
    subjects=(subjects.ROLLOUT_VALUES,),
    why="The key-value bucket of the guard: its lease, its state, and what each gateway observed lately.",
    discard="old",
    max_msgs_per_subject=1,
    max_bytes=64 * 1024**2,
    republish=True,
    allow_rollup=True,
)
BUDGETS: Final = Stream(
    name="KV_budgets",
    subjects=(subjects.BUDGET_VALUES,),
    why="The key-value bucket of budgets: what each user has spent on each day, and what calls under way have set aside.",
    max_msgs_per_subject=1,
    max_age=3 * DAY,
    max_bytes=256 * 1024**2,
    republish=True,
    allow_rollup=True,
)
PRESENCE: Final = Stream(
    name="KV_presence",
    subjects=(subjects.PRESENCE_VALUES,),
    why="The key-value bucket of presence: each entry expires unless its gateway writes it again. In memory: what is lost with"
    " a server is said again within seconds.",
    storage="memory",
    discard="old",
    max_msgs_per_subject=1,
    max_age=120.0,
    max_bytes=64 * 1024**2,
    republish=True,
    allow_msg_ttl=True,
)
WEBHOOKS: Final = Stream(
    name="KV_webhooks",
    subjects=(subjects.WEBHOOK_VALUES,),
    why="The key-value bucket of webhook subscriptions: changed by administrators through a gateway, heard by the notifiers.",
    max_msgs_per_subject=1,
    max_bytes=64 * 1024**2,
    republish=True,
)
WEBHOOK_WORK: Final = Stream(
    name="WEBHOOKS",
    subjects=(subjects.ALL_WEBHOOK_WORK,),
    why="Deliveries to webhooks that are due, each until it is settled; every subscription has a consumer of its own.",
    retention="workqueue",
    max_age=14 * DAY,
    max_bytes=2 * GIB,
)
WEBHOOK_SHARE: Final = 10_000
"""How many deliveries may wait for one webhook whatever waits for others, unless a setting says otherwise; of how twice as many
went is kept. So that one receiver that is down never takes what others need, the shares of all webhooks there may be fit into
both streams, and into WEBHOOKS what is lent beyond them."""
WEBHOOK_RESULTS: Final = Stream(
    name="WEBHOOK_RESULTS",
    subjects=(subjects.ALL_WEBHOOK_RESULTS,),
    why="How each delivery to a webhook went; the dead ones with their body, so that they can be sent again.",
    discard="old",
    max_age=30 * DAY,
    max_msgs_per_subject=1,
    max_bytes=4 * GIB,
)
DEVICES: Final = Stream(
    name="KV_devices",
    subjects=(subjects.DEVICE_VALUES,),
    why="The key-value bucket of browsers that asked to be told when nobody is looking; each renews itself when it is used.",
    max_age=180 * DAY,
    max_msgs_per_subject=1,
    max_bytes=256 * 1024**2,
)
PROCESSES: Final = Stream(
    name="KV_processes",
    subjects=(subjects.PROCESS_VALUES,),
    why="The key-value bucket of processes: each entry expires unless its process writes it again. In memory, like presence.",
    storage="memory",
    discard="old",
    max_msgs_per_subject=1,
    max_age=120.0,
    max_bytes=16 * 1024**2,
    allow_msg_ttl=True,
)
STREAMS: Final = (
    RUNS,
    TICKETS,
    COMMANDS,
    THREADS,
    FEEDS,
    CORPORA,
    TIMERS,
    DEAD_LETTERS,
    ADVISORIES,
    FLAGS,
    ROLLOUT,
    AUDIT,
    BUDGETS,
    PRESENCE,
    WEBHOOKS,
    WEBHOOK_WORK,
    WEBHOOK_RESULTS,
    DEVICES,
    PROCESSES,
)

EXECUTE: Final = Consumer(
    name="inference-execute",
    stream="COMMANDS",
    filter=subjects.EXECUTE_ALL,
    why="Workers take runs. A stuck worker's run is redelivered after ack_wait, a dead one's at once.",
    ack_wait=8.0,
    max_deliver=50,
    max_ack_pending=20_000,
)
OUTAGE_DELIVERIES: Final = 1000
"""How often what needs the database is delivered: while that is away it is given back every few seconds, for half an hour at least."""

READ: Final = Consumer(
    name="inference-read",
    stream="COMMANDS",
    filter=subjects.DOCUMENT_COMMANDS,
    why="Workers read uploaded documents into passages, and take deleted ones away.",
    max_deliver=OUTAGE_DELIVERIES,
)
APPEND: Final = Consumer(
    name="conversation-append",
    stream="COMMANDS",
    filter=subjects.THREAD_APPENDS,
    why="Conversation stores what internal services put into threads.",
    ack_wait=10.0,
    max_deliver=OUTAGE_DELIVERIES,
)
RECORD: Final = Consumer(
    name="conversation-record",
    stream="RUNS",
    filter=subjects.ALL_SNAPSHOTS,
    why="Conversation keeps checkpoints and results.",
    ack_wait=10.0,
    max_deliver=OUTAGE_DELIVERIES,
    max_ack_pending=1000,
)
WAKE: Final = Consumer(
    name="conversation-wake",
    stream="RUNS",
    filter=subjects.ALL_COMMANDS,
    why="A command for a run that holds no process has it executed again.",
    ack_wait=10.0,
    max_deliver=OUTAGE_DELIVERIES,
)
DUE: Final = Consumer(
    name="conversation-due",
    stream="TIMERS",
    filter=subjects.ALL_DUE,
    why="Conversation carries out what has come due: a run that waited, a message for later, the next of a schedule.",
    ack_wait=10.0,
    max_deliver=OUTAGE_DELIVERIES,
)
FEED: Final = Consumer(
    name="notifier-feed",
    stream="THREADS",
    filter=subjects.THREAD_FACTS,
    why="The notifier turns facts into feed entries.",
    ack_wait=10.0,
    max_deliver=50,
)
DEAD: Final = Consumer(
    name="dead-letter-mover",
    stream="ADVISORIES",
    filter=subjects.MAX_DELIVERIES_ADVISORY,
    why="Moves what was delivered too often to DEAD_LETTERS.",
)
TELL: Final = Consumer(
    name="notifier-webhooks",
    stream="THREADS",
    filter=subjects.THREAD_FACTS,
    why="The notifier queues each fact for the webhooks that want it; apart from the feeds, which shall not wait for it.",
    ack_wait=10.0,
    max_deliver=50,
)
PUSH: Final = Consumer(
    name="notifier-push",
    stream="THREADS",
    filter=subjects.RUN_FACTS,
    why="The notifier tells the browsers of those who are not watching that an answer is there, or waits for them.",
    ack_wait=30.0,
    max_deliver=8,
)
CONSUMERS: Final = (EXECUTE, READ, APPEND, RECORD, WAKE, DUE, FEED, DEAD, TELL, PUSH)


def webhook_consumer(webhook_id: str) -> Consumer:
    """The consumer of one subscription's deliveries: a receiver that fails or is slow has only its own wait. Raises
    InvalidIdError."""
    return Consumer(
        name=f"webhook-{webhook_id}",
        stream=WEBHOOK_WORK.name,
        filter=subjects.webhook_work_subject(webhook_id),
        why="Deliveries to one webhook.",
        ack_wait=6.0,
        max_deliver=1000,
        # What waits for its next attempt counts as well: a receiver that comes back shall not find its newest events behind it.
        max_ack_pending=20_000,
        inactive_seconds=7 * DAY,
    )
