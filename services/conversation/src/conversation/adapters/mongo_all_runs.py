"""The runs of all users on MongoDB, without an index of their own: by id, which begins with the time, and by the index of open
runs. So each page looks at a bounded number of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from contracts.ids import RUN, first_id
from store.database import Database
from store.faults import translated

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.domain.entities import OPEN, Run, Status
from conversation.domain.operations import RunCounts, RunQuery

BATCH: Final = 500
BATCHES: Final = 10
MOST_OPEN: Final = 20_000
SHOWN_OPEN: Final = ("pending", "generating", "waiting")


class MongoAllRuns:
    """operations_ports.AllRuns over one database."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database

    async def page(self, query: RunQuery, *, after: str, limit: int) -> tuple[Sequence[Run], str]:
        """See operations_ports.AllRuns."""
        found: list[Run] = []
        # What an open run is shown as, its answer knows, so only afterwards is it known which are wanted.
        size = BATCH if query.status in SHOWN_OPEN else limit + 1
        for _ in range(BATCHES):
            with translated():
                cursor = self._database.collection(schema.RUNS).find(_filter(query, after)).sort("_id", -1)
                batch = [d.run_of(document) for document in await cursor.to_list(size)]
            for run in await self._as_shown(batch):
                if query.status in ("", run.status):
                    if len(found) == limit:
                        return found, found[-1].id
                    found.append(run)
            if len(batch) < size:
                return found, ""
            after = batch[-1].id
        return found, after

    async def one(self, run_id: str) -> Run | None:
        """See operations_ports.AllRuns."""
        with translated():
            document = await self._database.collection(schema.RUNS).find_one({"_id": run_id})
        return None if document is None else (await self._as_shown([d.run_of(document)]))[0]

    async def counts(self, *, accepted_since: datetime, ended_since: datetime) -> RunCounts:
        """See operations_ports.AllRuns. At most MOST_OPEN open runs are counted."""
        runs = self._database.collection(schema.RUNS)
        with translated():
            cursor = runs.find({"check_at": {"$exists": True}}, {"message_id": 1, "status": 1})
            answers = [found["message_id"] for found in await cursor.to_list(MOST_OPEN) if found["status"] in OPEN]
            lately = {
                "_id": {"$gte": first_id(RUN, accepted_since.timestamp())},
                "ended_at": {"$gte": ended_since},
            }
            ended = await runs.count_documents(lately)
            failed = await runs.count_documents({**lately, "status": "error"}) if ended else 0
        shown = [_shown("pending", answer) for answer in (await self._answers(answers)).values()]
        generating, waiting = shown.count("generating"), shown.count("waiting")
        return RunCounts(
            pending=len(answers) - generating - waiting,
            generating=generating,
            waiting=waiting,
            ended=ended,
            failed=failed,
            outbox=await self._database.outbox.count(),
        )

    async def _as_shown(self, runs: Sequence[Run]) -> list[Run]:
        answers = await self._answers([run.message_id for run in runs if run.status in OPEN])
        return [
            replace(run, status=_shown(run.status, answers.get(run.message_id))) if run.status in OPEN else run
            for run in runs
        ]

    async def _answers(self, message_ids: Sequence[str]) -> dict[str, d.Document]:
        if not message_ids:
            return {}
        with translated():
            cursor = self._database.collection(schema.MESSAGES).find(
                {"_id": {"$in": list(message_ids)}}, {"status": 1, "waiting": 1}
            )
            return {found["_id"]: found for found in await cursor.to_list()}


def _shown(status: Status, answer: d.Document | None) -> Status:
    """A checkpoint writes the message only, so the message is what knows that the run has begun."""
    if answer is None or answer["status"] not in OPEN:
        return status
    return "waiting" if answer.get("waiting") else answer["status"]


def _filter(query: RunQuery, after: str) -> dict[str, Any]:
    ids: dict[str, str] = {}
    if query.since is not None:
        ids["$gte"] = first_id(RUN, query.since.timestamp())
    if after:
        ids["$lt"] = after
    fields = {"path": query.path, "model": query.model, "user_id": query.user_id, "agent": query.agent}
    found: dict[str, Any] = {name: value for name, value in fields.items() if value}
    if ids:
        found["_id"] = ids
    if query.status in SHOWN_OPEN:
        found |= {"check_at": {"$exists": True}, "status": {"$in": list(OPEN)}}
    elif query.status:
        found["status"] = query.status
    return found
