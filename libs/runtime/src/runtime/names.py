"""The catalogue of metrics: what each is called, what it measures, what a person does when it is wrong.

Nothing else names a metric: code uses the members, dashboards and alerts are checked against this page
(tests/architecture/test_dashboards.py), and so is what the processes really show (tests/e2e/test_metrics.py).
A label never holds a user's, a thread's or a run's id. Adding one: a member here, its values where it happens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from typing import Final, Literal

from contracts.codes import RunFailure

from runtime import genai

Instrument = Literal["counter", "gauge", "histogram"]
Unit = Literal["seconds", "bytes", "count", "micro-dollars", "tokens"]

GATEWAY: Final = "gateway"
CONVERSATION: Final = "conversation"
INFERENCE: Final = "inference"
NOTIFIER: Final = "notifier"
EVERYWHERE: Final = (GATEWAY, CONVERSATION, INFERENCE, NOTIFIER)

PATHS: Final = ("durable_event", "legacy_sync")
ENDS: Final = ("complete", "error", "cancelled")
FAILURES: Final = ("", *(failure.value for failure in RunFailure))

QUICK: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds, for what takes milliseconds."""
SLOW: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds, for what takes as long as an answer."""
WAIT: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds, for what a person waits for."""


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One metric. `name` is what Prometheus shows: counters end in `_total`, histograms add `_bucket`, `_sum`, `_count`.

    `services` are those that show it. `known` holds, per label, values that are there from the start, so that a rate over
    something that has not happened yet is 0 and not missing (its first event would not be seen as an increase); only where
    every label has some. `combinations` names those that make sense where not all do.
    """

    name: str
    instrument: Instrument
    unit: Unit
    meaning: str
    action: str
    services: tuple[str, ...]
    labels: tuple[str, ...] = ()
    known: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buckets: tuple[float, ...] = ()
    combinations: tuple[tuple[str, ...], ...] = ()

    @property
    def from_start(self) -> tuple[tuple[str, ...], ...]:
        """The label values that are shown before anything has happened."""
        return self.combinations or (tuple(product(*self.known.values())) if self.known else ())

    @property
    def samples(self) -> tuple[str, ...]:
        """The names of its time series, as a query uses them."""
        if self.instrument == "histogram":
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


def _counter(
    name: str, meaning: str, action: str, *services: str, unit: Unit = "count", **known: tuple[str, ...]
) -> Definition:
    return Definition(
        name=name,
        instrument="counter",
        unit=unit,
        meaning=meaning,
        action=action,
        services=services,
        labels=tuple(known),
        known=known if all(known.values()) else {},
    )


def _gauge(
    name: str, meaning: str, action: str, *services: str, unit: Unit = "count", **known: tuple[str, ...]
) -> Definition:
    return Definition(
        name=name,
        instrument="gauge",
        unit=unit,
        meaning=meaning,
        action=action,
        services=services,
        labels=tuple(known),
        known=known if all(known.values()) else {},
    )


def _seconds(
    name: str, meaning: str, action: str, *services: str, buckets: tuple[float, ...] = QUICK, **known: tuple[str, ...]
) -> Definition:
    return Definition(
        name=name,
        instrument="histogram",
        unit="seconds",
        meaning=meaning,
        action=action,
        services=services,
        labels=tuple(known),
        known=known if all(known.values()) else {},
        buckets=buckets,
    )


ANY: Final[tuple[str, ...]] = ()
"""A label whose values are known only when they occur."""


class Metric(Enum):
    """Every metric of Everthread."""

    # Every process
    BUILD = _gauge(
        "everthread_build_info",
        "Always 1; the label says which version runs.",
        "Compare the versions while a new one is rolled out.",
        *EVERYWHERE,
        version=ANY,
    )
    CHECK = _gauge(
        "everthread_check_up",
        "One readiness check: 1 holds, 0 does not. Asked when scraped.",
        "The name says what is away (mongodb, nats, grpc, conversation, http): look at that part first.",
        *EVERYWHERE,
        check=ANY,
    )
    LOOP_LAG = _seconds(
        "everthread_event_loop_lag_seconds",
        "How much later than asked for a timer fired: what everything in this process waits for.",
        "Above 50 ms at the 99th percentile the process is out of CPU or something blocks: add replicas, or look at the"
        " log for what it was doing.",
        *EVERYWHERE,
    )
    NATS_CONNECTED = _gauge(
        "everthread_nats_connected",
        "1 while the connection to the broker stands.",
        "0 for long: is nats-server up, is the password in NATS_URL right? `everthread doctor` says.",
        *EVERYWHERE,
    )
    NATS_RECONNECTS = _counter(
        "everthread_nats_reconnects_total",
        "Connections to the broker that were lost and stood again.",
        "A few come with every restart of the broker. Steadily rising: network, or a server that is out of memory.",
        *EVERYWHERE,
    )
    DELIVERIES = _counter(
        "everthread_deliveries_total",
        "Deliveries handled, by consumer and how they were settled.",
        "`retry` and `failed` rising: the log line `delivery.failed` of that consumer has the cause.",
        CONVERSATION,
        INFERENCE,
        NOTIFIER,
        consumer=ANY,
        outcome=("done", "retry", "poison", "handed_over", "failed"),
    )
    REDELIVERIES = _counter(
        "everthread_redeliveries_total",
        "Deliveries that were not the first of their item.",
        "They follow dead or stuck workers and failures; see deliveries with outcome `failed` and takeovers.",
        CONVERSATION,
        INFERENCE,
        NOTIFIER,
        consumer=ANY,
    )
    HANDLING = _seconds(
        "everthread_delivery_duration_seconds",
        "From a delivery to its settlement. For inference-execute that is as long as the attempt.",
        "Long for conversation-record: MongoDB is slow. Long for notifier-feed: the broker is.",
        CONVERSATION,
        INFERENCE,
        NOTIFIER,
        buckets=(0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0),
        consumer=ANY,
    )
    DEAD_LETTERS = _counter(
        "everthread_dead_letters_total",
        "Deliveries given up: poisoned, or delivered too often. They wait in DEAD_LETTERS with the reason.",
        "docs/runbooks/dead-letters.md: read the reason, mend the cause, replay or delete.",
        CONVERSATION,
        INFERENCE,
        NOTIFIER,
        consumer=ANY,
    )

    # The run log
    APPENDS = _counter(
        "everthread_log_appends_total",
        "Entries stored in the run log, by kind. Deltas that arrive together are one entry.",
        "Deltas per second of the mesh. Falls to 0 while runs are open: see slots in use and the providers.",
        *EVERYWHERE,
        kind=("event", "snapshot", "claim", "release", "command"),
    )
    APPEND_SECONDS = _seconds(
        "everthread_log_append_duration_seconds",
        "From an append to its acknowledgement, re-sends included: what durability costs each piece of text.",
        "Above 25 ms at the 99th percentile: the broker's disk or its leader; docs/runbooks/slow-appends.md.",
        *EVERYWHERE,
    )
    FENCED = _counter(
        "everthread_log_fenced_total",
        "Appends rejected because a newer claim holds the run: a replaced worker was still writing. Nothing of it is stored.",
        "One per replaced worker is the design at work. Many without dead workers: workers are stuck longer than ack_wait.",
        *EVERYWHERE,
    )
    STREAM_FULL = _counter(
        "everthread_stream_full_total",
        "Messages that a stream refused because it is full. New work is refused with a clear error.",
        "docs/runbooks/stream-full.md: find which, delete or raise its limit.",
        *EVERYWHERE,
    )
    GAPS = _counter(
        "everthread_follow_gaps_total",
        "Gaps that followers found in what arrived live, and filled from the log before showing anything after them.",
        "Viewers lost nothing. Rising: slow process or flapping connection; see dropped and reconnects.",
        *EVERYWHERE,
    )
    GAPS_SHOWN = _counter(
        "everthread_follow_gaps_shown_total",
        "Events that reached viewers although the one before them had not. Must be 0 for ever.",
        "docs/runbooks/gap-shown.md: a bug, whatever else is going on; keep the logs and the run.",
        GATEWAY,
    )

    DOUBLES_SHOWN = _counter(
        "everthread_follow_doubles_shown_total",
        "Events that reached viewers although they, or later ones of the same run, had reached them before. Must be 0 for ever.",
        "docs/runbooks/gap-shown.md: a bug, whatever else is going on; keep the logs and the run.",
        GATEWAY,
    )

    # Calls
    HTTP_SECONDS = _seconds(
        "everthread_http_request_duration_seconds",
        "Requests at the door, by route, status and the path that answered (`none` where none did). An event stream counts"
        " until it is attached.",
        "5xx or slow: the same route's RPCs and checks say which part behind it. Exemplars lead to traces.",
        GATEWAY,
        method=ANY,
        route=ANY,
        status=ANY,
        path=ANY,
    )
    RPC_SERVER_SECONDS = _seconds(
        "everthread_rpc_server_duration_seconds",
        "gRPC calls served, by method and status.",
        "UNAVAILABLE: MongoDB is away. Slow: see MongoDB's commands. Generate, of inference, is as long as its answer.",
        CONVERSATION,
        INFERENCE,
        method=ANY,
        status=ANY,
    )
    RPC_CLIENT_SECONDS = _seconds(
        "everthread_rpc_client_duration_seconds",
        "gRPC calls made, by method and status; the difference to the server's is network and queueing.",
        "UNAVAILABLE or DEADLINE_EXCEEDED while the server is well: network, or too few replicas.",
        GATEWAY,
        INFERENCE,
        method=ANY,
        status=ANY,
    )
    MONGODB_SECONDS = _seconds(
        "everthread_mongodb_command_duration_seconds",
        "MongoDB commands, by name and outcome, as the driver saw them.",
        "docs/runbooks/slow-database.md.",
        CONVERSATION,
        command=ANY,
        outcome=ANY,
    )

    # Viewers
    VIEWERS = _gauge(
        "everthread_viewers",
        "Open event streams.",
        "Per gateway; far apart between gateways: the balancer keeps old connections, restart the fullest.",
        GATEWAY,
    )
    WATCHED = _gauge(
        "everthread_watched_logs",
        "Runs and threads that somebody watches here: one follower each, shared by their viewers.",
        "Close to viewers is normal; far above means viewers are not counted out.",
        GATEWAY,
    )
    VIEWER_BUFFER = _gauge(
        "everthread_viewer_buffer_bytes",
        "Bytes that the followers keep for their viewers; bounded per watched log by EVERTHREAD_RING_BYTES.",
        "Memory of a gateway grows with it; lower EVERTHREAD_RING_BYTES or add gateways.",
        GATEWAY,
        unit="bytes",
    )
    VIEWERS_BEHIND = _counter(
        "everthread_viewers_behind_total",
        "Viewers that were too slow for the buffer and went back to reading the log at their own pace.",
        "Slow clients; harmless to others. Many at once: the gateway itself is slow.",
        GATEWAY,
    )
    FIRST_TOKEN_EDGE = _seconds(
        "everthread_first_token_edge_seconds",
        "From acceptance to the first text handed to a client that watched from the start.",
        "docs/runbooks/first-token-slow.md: take off the provider's share (gen_ai_client_operation_time_to_first_chunk_seconds).",
        GATEWAY,
        buckets=WAIT,
    )

    # The rollout
    ROLLOUT_CHANGES = _counter(
        "everthread_rollout_changes_total",
        "Changes of the rollout, by the guard (`advanced`, `rolled_back`) or a person.",
        "`rolled_back`: docs/runbooks/rollout-rolled-back.md; `everthread rollout status` says why.",
        GATEWAY,
        change=("advanced", "rolled_back", "set", "shadowed", "paused", "resumed", "killed"),
    )
    ROLLOUT_SHARE = _gauge(
        "everthread_rollout_share",
        "Percentage of the users on the durable path by the definition in force at this gateway; -1 where no percentage decides.",
        "Differs between gateways for more than a second: one of them does not hear the broker.",
        GATEWAY,
    )

    DEPARTURES = _counter(
        "everthread_run_departures_total",
        "Runs that nobody watched any more before their end, by path.",
        "What became of them: survival in `everthread rollout status`. On legacy_sync each of them is an answer lost.",
        CONVERSATION,
        path=PATHS,
    )
    SHADOWS = _counter(
        "everthread_shadow_runs_total",
        "Shadow runs that ended, by status: what legacy_sync answered, answered once more by durable_event, unseen.",
        "`error` where the served runs complete: `everthread rollout status` shows both sides of the pairs.",
        CONVERSATION,
        status=ENDS,
    )
    SHADOW_COST = _counter(
        "everthread_shadow_cost_microusd_total",
        "What the model calls of shadow runs cost, in millionths of a dollar. It is in no user's ledger and in no other figure.",
        "The price of comparing: lower the flag's weight of `shadow` when enough is known.",
        CONVERSATION,
        unit="micro-dollars",
    )

    # Runs
    ACCEPTED = _counter(
        "everthread_messages_accepted_total",
        "Messages answered with 202, by path: from here on there is a promise. Also the exposure of each path.",
        "Compare with runs ended: the difference is open runs.",
        CONVERSATION,
        path=PATHS,
    )
    RUNS_ENDED = Definition(
        name="everthread_runs_ended_total",
        instrument="counter",
        unit="count",
        meaning="Runs recorded as ended, by path, status and the class of failure (empty where there is none).",
        action="docs/runbooks/runs-failing.md: the code says whose fault.",
        services=(CONVERSATION,),
        labels=("path", "status", "code"),
        known={"path": PATHS, "status": ENDS, "code": FAILURES},
        combinations=tuple(
            (path, status, code)
            for path in PATHS
            for status in ENDS
            for code in FAILURES
            if bool(code) == (status == "error")
        ),
    )
    RUN_SECONDS = _seconds(
        "everthread_run_duration_seconds",
        "From acceptance to the terminal event.",
        "docs/runbooks/runs-not-finishing.md.",
        CONVERSATION,
        buckets=SLOW,
        path=PATHS,
        status=ENDS,
    )
    DATABASE_OPERATIONS = _counter(
        "everthread_run_database_operations_total",
        "Commands that MongoDB got for answers, by path and what for; divided by messages accepted: per answer.",
        "Rising per answer: a new read or write on the way of every answer; `progress` grows with its length.",
        CONVERSATION,
        path=PATHS,
        activity=("accept", "input", "progress", "end"),
    )
    RECORD_SECONDS = _seconds(
        "everthread_run_record_lag_seconds",
        "From a run's terminal event to its message being stored in MongoDB.",
        "Meanwhile the log has the answer. Rising: MongoDB is slow, or too few conversation processes.",
        CONVERSATION,
        buckets=WAIT,
    )
    REVIVALS = _counter(
        "everthread_run_revivals_total",
        "Runs of which nothing was heard: looked at and waited for, started, started again, or given up.",
        "`revive` means that a command was lost; `fail` that a promise was kept by an error. Both deserve a look at the log.",
        CONVERSATION,
        decision=("wait", "start", "revive", "fail"),
    )
    OUTBOX_ROWS = _gauge(
        "everthread_outbox_rows",
        "Messages committed in MongoDB of which the broker does not know yet.",
        "docs/runbooks/outbox-behind.md.",
        CONVERSATION,
    )
    OUTBOX_AGE = _gauge(
        "everthread_outbox_age_seconds",
        "Age of the oldest of them; 0 when nothing is left behind.",
        "docs/runbooks/outbox-behind.md.",
        CONVERSATION,
        unit="seconds",
    )
    COST = _counter(
        "everthread_cost_microusd_total",
        "What the model calls of ended runs cost by the price list, in millionths of a dollar; from the ledger.",
        "Compare with the provider's bill; a jump without more messages is a loop or a longer context.",
        CONVERSATION,
        unit="micro-dollars",
        model=ANY,
    )
    TOKENS = _counter(
        "everthread_tokens_total",
        "Tokens of ended runs by model and kind, from the ledger; `cached` is part of `input`, `reasoning` of `output`.",
        "Capacity and cost. Estimated where a call was interrupted or its provider never tells.",
        CONVERSATION,
        unit="tokens",
        model=ANY,
        kind=("input", "output", "cached", "reasoning"),
    )

    # Workers
    SLOTS = _gauge(
        "everthread_worker_slots",
        "How many runs this worker may execute at once.",
        "In use equal to this for long: add workers.",
        INFERENCE,
    )
    SLOTS_IN_USE = _gauge(
        "everthread_worker_slots_in_use",
        "How many it executes now.",
        "Equal to slots everywhere means that commands wait: see the consumer's pending.",
        INFERENCE,
    )
    ATTEMPTS = _counter(
        "everthread_attempts_total",
        "Attempts begun, by path.",
        "Attempts per message above 1 means takeovers.",
        INFERENCE,
        path=PATHS,
    )
    TAKEOVERS = _counter(
        "everthread_takeovers_total",
        "Attempts that went on with a run from another attempt: its worker died, hung or was drained.",
        "docs/runbooks/takeovers.md. Expected during a rolling update.",
        INFERENCE,
        path=PATHS,
    )
    MODEL_FAILURES = _counter(
        "everthread_model_failures_total",
        "Model calls that failed, by model and class, each try for itself.",
        "docs/runbooks/provider-failing.md.",
        INFERENCE,
        model=ANY,
        code=ANY,
    )
    GENAI_DURATION = _seconds(
        genai.label(genai.OPERATION_DURATION) + "_seconds",
        "Model calls, each try for itself, from the request to the end of the stream. `error_type` is empty where none was.",
        "The provider's own speed; its status page, or another model.",
        INFERENCE,
        buckets=genai.DURATION_BUCKETS,
        **dict.fromkeys((*genai.LABELS, genai.label(genai.ERROR_TYPE)), ANY),
    )
    GENAI_FIRST_CHUNK = _seconds(
        genai.label(genai.TIME_TO_FIRST_CHUNK) + "_seconds",
        "From the request to the provider's first piece of text.",
        "What no work of ours can shorten; the SLO on added time to first token leaves it out.",
        INFERENCE,
        buckets=genai.DURATION_BUCKETS,
        **dict.fromkeys(genai.LABELS, ANY),
    )
    GENAI_TOKENS = Definition(
        name=genai.label(genai.TOKEN_USAGE),
        instrument="histogram",
        unit="tokens",
        meaning="Tokens of one model call, input or output, where the provider told.",
        action="Long inputs are long threads; the totals that are billed are in everthread_tokens_total.",
        services=(INFERENCE,),
        labels=(*genai.LABELS, genai.label(genai.TOKEN_TYPE)),
        buckets=genai.TOKEN_BUCKETS,
    )
    FIRST_TOKEN_ADDED = _seconds(
        "everthread_first_token_added_seconds",
        "What Everthread adds before the provider is asked: from acceptance through outbox, queue, claim and context to the"
        " model call of a run's first attempt. (What comes after it: everthread_log_append_duration_seconds.)",
        "docs/runbooks/first-token-slow.md.",
        INFERENCE,
        buckets=WAIT,
        path=PATHS,
    )

    # People who are not watching
    FEED_ENTRIES = _counter(
        "everthread_feed_entries_total",
        "Entries added to users' feeds, and facts that were there already.",
        "Repeated ones follow restarts. No entries while runs end: see notifier-feed's pending.",
        NOTIFIER,
        outcome=("added", "repeated"),
    )
    FEED_LAG = _seconds(
        "everthread_feed_lag_seconds",
        "From when something happened, as its fact says, to its entry being stored in the feeds.",
        "Long: see notifier-feed's pending and the broker's disk; after an outage it is as long as the outage.",
        NOTIFIER,
        buckets=WAIT,
    )
    WEBHOOK_ATTEMPTS = _counter(
        "everthread_webhook_attempts_total",
        "Deliveries to webhooks that came up, by what became of them: delivered, failed (tried again later), dead (given up),"
        " repeated (settled before), held (the webhook is disabled), dropped (it was deleted), full (too many wait for the webhook:"
        " dead, unsent).",
        "docs/runbooks/webhooks-failing.md: `GET /v1/webhooks/{id}/deliveries` says which receiver and why.",
        NOTIFIER,
        outcome=("delivered", "failed", "dead", "repeated", "held", "dropped", "full"),
    )
    WEBHOOK_SECONDS = _seconds(
        "everthread_webhook_request_duration_seconds",
        "Requests to webhook receivers, by the class of their answer (`none`: no answer, or an address that is refused).",
        "Slow receivers wait in their own queue; docs/runbooks/webhooks-failing.md.",
        NOTIFIER,
        buckets=WAIT,
        answer=("2xx", "3xx", "4xx", "5xx", "none"),
    )
    WEBHOOK_LAG = _seconds(
        "everthread_webhook_lag_seconds",
        "From when something happened to its delivery being accepted by the receiver, retries included.",
        "Above a second at the median: too few notifiers or receivers that fail; docs/runbooks/webhooks-failing.md.",
        NOTIFIER,
        buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 14400.0, 57600.0),
    )
    WEBHOOKS_QUEUED = _counter(
        "everthread_webhook_queued_total",
        "Deliveries queued: one per event and webhook that wants it. Their sum less those delivered and dead is pending.",
        "Rising faster than attempts: receivers do not keep up; everthread_consumer_pending has each webhook's own.",
        NOTIFIER,
    )
    WEBHOOK_RESULTS_FORGOTTEN = _counter(
        "everthread_webhook_results_forgotten_total",
        "How deliveries to webhooks went, forgotten before their thirty days: of each webhook the last ones are kept, twice as many"
        " as may wait for it.",
        "Rising while deliveries are dead: some of the dead ones can no longer be sent again; docs/runbooks/webhooks-failing.md.",
        NOTIFIER,
    )
    PUSHES = _counter(
        "everthread_pushes_total",
        "Web Push messages by outcome: taken by the push service, gone (the browser's subscription is removed), later (tried"
        " again), failed.",
        "`failed` rising: the push service refuses us; compare the VAPID key with the one that browsers were given.",
        NOTIFIER,
        outcome=("sent", "gone", "later", "failed"),
    )

    # The broker, as its own monitor page tells
    MONITOR_UP = _gauge(
        "everthread_nats_monitor_up",
        "1 where the server's monitor page answered when last asked; 0 where it did not. Absent without EVERTHREAD_NATS_MONITOR_URL.",
        "The broker's figures are stale while it is 0.",
        NOTIFIER,
        server=ANY,
    )
    STREAM_BYTES = _gauge(
        "everthread_stream_bytes",
        "Bytes stored in a stream.",
        "docs/runbooks/stream-full.md before it reaches the limit.",
        NOTIFIER,
        unit="bytes",
        stream=ANY,
    )
    STREAM_LIMIT = _gauge(
        "everthread_stream_limit_bytes",
        "The stream's limit in bytes; -1 where it has none.",
        "Raise it in contracts/topology.py; conversation applies it at its next start.",
        NOTIFIER,
        unit="bytes",
        stream=ANY,
    )
    STREAM_MESSAGES = _gauge(
        "everthread_stream_messages",
        "Entries in a stream. In COMMANDS those are runs waiting or being executed; in DEAD_LETTERS they wait for a person.",
        "docs/runbooks/dead-letters.md for DEAD_LETTERS.",
        NOTIFIER,
        stream=ANY,
    )
    STREAM_REPLICA_LAG = _gauge(
        "everthread_stream_replica_lag",
        "Operations by which a replica is behind its leader. Absent on a single server.",
        "A replica that stays behind cannot take over: look at its disk and network.",
        NOTIFIER,
        stream=ANY,
        replica=ANY,
    )
    CONSUMER_PENDING = _gauge(
        "everthread_consumer_pending",
        "Items that no process has been given yet.",
        "Rising: too few processes of the consumer's service, or they are stuck.",
        NOTIFIER,
        stream=ANY,
        consumer=ANY,
    )
    CONSUMER_ACK_PENDING = _gauge(
        "everthread_consumer_ack_pending",
        "Items given out and not settled: for inference-execute the runs being executed.",
        "At the consumer's max_ack_pending nothing new is given out.",
        NOTIFIER,
        stream=ANY,
        consumer=ANY,
    )
    CONSUMER_REDELIVERED = _gauge(
        "everthread_consumer_redelivered",
        "Items given out more than once and not settled.",
        "Stays above 0: something fails again and again; see deliveries with outcome `failed` or `retry`.",
        NOTIFIER,
        stream=ANY,
        consumer=ANY,
    )
    SLOW_CONSUMERS = _gauge(
        "everthread_nats_slow_consumers",
        "Connections that the server cut because they did not take their messages, since the server started.",
        "The process on the other side is out of CPU, or stopped.",
        NOTIFIER,
        server=ANY,
    )
    NATS_CONNECTIONS = _gauge(
        "everthread_nats_connections",
        "Client connections of the server.",
        "Falls with dying processes; far above the number of processes: somebody leaks connections.",
        NOTIFIER,
        server=ANY,
    )


def metric_of(sample: str) -> Metric | None:
    """The metric that a time series' name belongs to."""
    return _BY_SAMPLE.get(sample)


_BY_SAMPLE: Final = {sample: metric for metric in Metric for sample in metric.value.samples}

PROCESS_SAMPLES: Final = frozenset(
    {
        "process_cpu_seconds_total",
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    }
)
"""What prometheus_client shows of every process by itself, under the names that all of Prometheus uses."""
