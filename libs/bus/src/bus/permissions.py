"""What each NATS user may publish and subscribe: exactly what its code does. Tested in tests/conformance.

Only conversation and admin may change streams and consumers; for the others `reconcile` looks and waits. Nobody but admin
may delete a stream. Nobody may publish to a `live.` subject, so what arrives there was stored.
"""

from dataclasses import dataclass
from typing import Final

from contracts import topology
from contracts.subjects import (
    ALL_CLAIMS,
    ALL_COMMANDS,
    ALL_EVENTS,
    ALL_LEGACY,
    ALL_SERVICE_CALLS,
    ALL_SNAPSHOTS,
    ALL_TIMERS,
    ALL_TOOLS,
    DEATH_NOTICES,
    DOCUMENT_COMMANDS,
    EXECUTE_ALL,
    LIVE_CLAIMS,
    MEMBERS_REMOVED,
    SERVICES_INFO,
    THREAD_APPENDS,
    THREAD_FACTS,
    THREADS_DELETED,
    adopt_subject,
    dead_letter_subject,
    live,
    process_subject,
)
from contracts.topology import Consumer, Stream


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """Subjects of one user. The private inbox `_INBOX_<user>.>` is added to both by `of_user`."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: bool = False
    """May answer requests that it has received, wherever they want their answer."""


def _consumes(consumer: Consumer) -> tuple[str, ...]:
    return (
        f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}",
        f"$JS.ACK.{consumer.stream}.{consumer.name}.>",
        dead_letter_subject(consumer.stream, consumer.name),
    )


def _reads(*streams: Stream) -> tuple[str, ...]:
    return tuple(
        subject
        for stream in streams
        for subject in (f"$JS.API.DIRECT.GET.{stream.name}", f"$JS.API.STREAM.MSG.GET.{stream.name}")
    )


def _ages(*consumers: Consumer) -> tuple[str, ...]:
    return tuple(f"$JS.API.DIRECT.GET.{name}" for name in dict.fromkeys(consumer.stream for consumer in consumers))


def _purges(*streams: Stream) -> tuple[str, ...]:
    return tuple(f"$JS.API.STREAM.PURGE.{stream.name}" for stream in streams)


_LOOKS: Final = ("$JS.API.STREAM.INFO.*", "$JS.API.CONSUMER.INFO.*.*")
_RECONCILES: Final = (
    *_LOOKS,
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.CONSUMER.CREATE.>",
)
_ALL_RUNS: Final = topology.RUNS.subjects
_ANY_WORKER: Final = adopt_subject("*")

USERS: Final = {
    "admin": Permissions(publish=(">",), subscribe=(">",)),
    "gateway": Permissions(
        publish=(
            *_LOOKS,
            *_reads(topology.RUNS, topology.FEEDS, topology.FLAGS, topology.ROLLOUT, topology.BUDGETS),
            # Whose role was taken away, so that their streams end; and who is there, which each gateway says of its own viewers.
            *_reads(topology.THREADS, topology.PRESENCE),
            *topology.PRESENCE.subjects,
            ALL_COMMANDS,
            # It ends the legacy runs whose worker is gone.
            ALL_LEGACY,
            # Administrators change flags through a gateway, and one gateway at a time walks the rollout.
            *topology.FLAGS.subjects,
            *topology.ROLLOUT.subjects,
            *_reads(topology.TICKETS),
            *topology.TICKETS.subjects,
            *_reads(topology.AUDIT),
            *topology.AUDIT.subjects,
            # What a user has read is told to all of that user's devices, in the feed.
            *topology.FEEDS.subjects,
            # Administrators change webhooks and send a dead delivery again; users say where their browsers are reached.
            *_reads(topology.WEBHOOKS, topology.WEBHOOK_WORK, topology.WEBHOOK_RESULTS, topology.DEVICES),
            *topology.WEBHOOKS.subjects,
            *topology.WEBHOOK_WORK.subjects,
            *topology.DEVICES.subjects,
            # The console: who runs, and how old the first item is that a consumer has not been given.
            process_subject("gateway"),
            *_reads(topology.PROCESSES),
            *_ages(*topology.CONSUMERS),
        ),
        subscribe=(
            *map(live, _ALL_RUNS),
            *map(live, topology.FEEDS.subjects),
            *map(live, topology.FLAGS.subjects),
            *map(live, topology.ROLLOUT.subjects),
            *map(live, topology.PRESENCE.subjects),
            live(MEMBERS_REMOVED),
            live(THREADS_DELETED),
        ),
    ),
    "conversation": Permissions(
        publish=(
            *_RECONCILES,
            *_reads(topology.RUNS, topology.COMMANDS),
            EXECUTE_ALL,
            DOCUMENT_COMMANDS,
            THREAD_FACTS,
            # A message that interrupts an answer, or joins it, is a command of that run.
            ALL_COMMANDS,
            # It ends runs that nobody can execute any more: claims them, writes the end and a last snapshot.
            ALL_CLAIMS,
            ALL_EVENTS,
            ALL_SNAPSHOTS,
            *_consumes(topology.APPEND),
            # Internal services are told what became of what they appended.
            "_INBOX_app.>",
            *_consumes(topology.RECORD),
            *_consumes(topology.WAKE),
            *_consumes(topology.DUE),
            ALL_TIMERS,
            f"$JS.API.STREAM.PURGE.{topology.TIMERS.name}",
            f"$JS.API.STREAM.PURGE.{topology.RUNS.name}",
            # A deleted thread leaves nothing behind.
            *_reads(topology.FEEDS, topology.DEAD_LETTERS),
            *_purges(topology.COMMANDS, topology.THREADS, topology.CORPORA, topology.PRESENCE),
            f"$JS.API.STREAM.MSG.DELETE.{topology.FEEDS.name}",
            f"$JS.API.STREAM.MSG.DELETE.{topology.DEAD_LETTERS.name}",
            # An administrator sends a dead letter again, where it came from.
            THREAD_APPENDS,
            *topology.WEBHOOK_WORK.subjects,
            process_subject("conversation"),
        ),
        subscribe=(),
    ),
    "inference": Permissions(
        publish=(
            *_LOOKS,
            *_reads(topology.RUNS, topology.CORPORA),
            ALL_CLAIMS,
            ALL_EVENTS,
            ALL_SNAPSHOTS,
            ALL_LEGACY,
            *_consumes(topology.EXECUTE),
            *_consumes(topology.READ),
            *_reads(topology.FLAGS, topology.BUDGETS),
            *topology.BUDGETS.subjects,
            ALL_TIMERS,
            f"$JS.API.STREAM.PURGE.{topology.TIMERS.name}",
            _ANY_WORKER,
            *topology.CORPORA.subjects,
            ALL_TOOLS,
            SERVICES_INFO,
            process_subject("inference"),
        ),
        subscribe=(LIVE_CLAIMS, live(ALL_COMMANDS), *map(live, topology.FLAGS.subjects), _ANY_WORKER, DEATH_NOTICES),
    ),
    "notifier": Permissions(
        publish=(
            *_LOOKS,
            *_reads(topology.FEEDS),
            *topology.FEEDS.subjects,
            *_consumes(topology.FEED),
            # It stays silent for those who are watching.
            *_reads(topology.PRESENCE),
            # What a deleted thread has left in the feeds goes with it.
            *_reads(topology.THREADS),
            f"$JS.API.STREAM.MSG.DELETE.{topology.FEEDS.name}",
            *_consumes(topology.TELL),
            *_reads(topology.WEBHOOKS, topology.WEBHOOK_WORK, topology.WEBHOOK_RESULTS),
            # A webhook whose receiver says that it is gone for good is paused.
            *topology.WEBHOOKS.subjects,
            *topology.WEBHOOK_WORK.subjects,
            *topology.WEBHOOK_RESULTS.subjects,
            # Of each webhook only its share is kept.
            *_purges(topology.WEBHOOK_RESULTS),
            # A consumer for each subscription, and no other's.
            f"$JS.API.CONSUMER.CREATE.{topology.WEBHOOK_WORK.name}.>",
            f"$JS.API.CONSUMER.MSG.NEXT.{topology.WEBHOOK_WORK.name}.*",
            f"$JS.ACK.{topology.WEBHOOK_WORK.name}.>",
            *_consumes(topology.PUSH),
            *_reads(topology.DEVICES),
            *topology.DEVICES.subjects,
            # The dead-letter mover runs in the notifier.
            *_consumes(topology.DEAD),
            "$JS.API.STREAM.MSG.GET.*",
            f"$JS.API.STREAM.MSG.DELETE.{topology.COMMANDS.name}",
            f"$JS.API.STREAM.MSG.DELETE.{topology.WEBHOOK_WORK.name}",
            *topology.DEAD_LETTERS.subjects,
            process_subject("notifier"),
        ),
        subscribe=(
            *map(live, topology.FEEDS.subjects),
            *map(live, topology.WEBHOOKS.subjects),
            # What the guard of the rollout did, for whoever is to be told.
            *map(live, topology.AUDIT.subjects),
        ),
    ),
    "app": Permissions(
        publish=(*_reads(topology.RUNS), THREAD_APPENDS),
        # It offers tools, as NATS micro services do.
        subscribe=(*map(live, _ALL_RUNS), ALL_TOOLS, ALL_SERVICE_CALLS),
        answers=True,
    ),
}
"""One user per service, `admin` for the command line, `app` for internal services (libs/client)."""


def of_user(user: str) -> Permissions:
    """A user's permissions with its private inbox. Raises KeyError for a user that does not exist."""
    inbox = f"_INBOX_{user}.>"
    permissions = USERS[user]
    return Permissions(
        publish=tuple(dict.fromkeys((*permissions.publish, inbox))),
        subscribe=tuple(dict.fromkeys((*permissions.subscribe, inbox))),
        answers=permissions.answers,
    )
