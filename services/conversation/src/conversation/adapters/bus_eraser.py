"""The broker's side of a deletion: every stream and bucket that may hold something of a thread."""

from typing import Final

from bus.erasing import Erasing
from contracts.facts import ThreadDeleted
from contracts.subjects import (
    append_subject,
    due_subject,
    execute_subject,
    fact_subject,
    fact_subjects,
    feed_subject,
    presence_subjects,
    thread_corpus_subjects,
    thread_subjects,
    timer_subject,
)
from contracts.topology import COMMANDS, CORPORA, DEAD_LETTERS, FEEDS, PRESENCE, RUNS, THREADS, TIMERS

from conversation.domain.deletion import Deletion
from conversation.domain.shadows import shadow_thread

_DELETED: Final = str(ThreadDeleted.__struct_config__.tag)


class BusEraser:
    """lifetime_ports.Eraser over one connection."""

    def __init__(self, bus: Erasing) -> None:
        self._bus = bus

    async def erase(self, deletion: Deletion) -> int:
        """See the port."""
        thread_id, count = deletion.thread_id, 0
        # The commands before the logs: a worker that is handed one now finds no run, and writes nothing.
        for run_id in (*deletion.run_ids, *deletion.shadow_ids):
            count += await self._bus.purge(COMMANDS.name, execute_subject(run_id))
        count += await self._bus.purge(COMMANDS.name, append_subject(thread_id))
        timers = [("run", run_id) for run_id in deletion.run_ids]
        timers += [("schedule", schedule_id) for schedule_id in deletion.schedule_ids]
        for timer in timers:
            for subject in (timer_subject(*timer), due_subject(*timer)):
                count += await self._bus.purge(TIMERS.name, subject)
        for logs in (thread_id, *map(shadow_thread, deletion.shadow_ids)):
            count += await self._bus.purge(RUNS.name, thread_subjects(logs))
        kept = fact_subject(thread_id, _DELETED)
        for subject in await self._bus.subjects_of(THREADS.name, fact_subjects(thread_id)):
            if subject != kept:
                count += await self._bus.purge(THREADS.name, subject)
        count += await self._bus.purge(PRESENCE.name, presence_subjects(thread_id))
        count += await self._bus.purge(CORPORA.name, thread_corpus_subjects(thread_id))
        for user_id in deletion.user_ids:
            count += await self._erase_mentions(FEEDS.name, feed_subject(user_id), thread_id)
        for subject in DEAD_LETTERS.subjects:
            count += await self._erase_mentions(DEAD_LETTERS.name, subject, thread_id)
        return count

    async def _erase_mentions(self, stream: str, subject_filter: str, thread_id: str) -> int:
        """Where a subject holds entries of many threads, those are looked for that name this one, which an id makes sure."""
        name, kept = thread_id.encode(), f'"type":"{_DELETED}"'.encode()
        found = [
            entry.stream_sequence
            async for entry in self._bus.read_stream(stream, subject_filter)
            if name in entry.data and kept not in entry.data
        ]
        for stream_sequence in found:
            await self._bus.erase(stream, stream_sequence)
        return len(found)
