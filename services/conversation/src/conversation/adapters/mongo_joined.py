"""What several collections hold of one thing, in one command instead of one for each. Every stage looks one id up."""

from typing import Any

from pymongo.asynchronous.client_session import AsyncClientSession
from store.database import Database

from conversation.adapters import documents as d
from conversation.adapters import schema
from conversation.domain.acceptance import Opening
from conversation.domain.context import Asked
from conversation.domain.entities import Watched

Stage = dict[str, Any]


async def opening_of(
    database: Database, session: AsyncClientSession, user_id: str, thread_id: str, key: str
) -> Opening | None:
    """See ports.Writes."""
    wanted: Stage = {"its_run": {"$ifNull": ["$last_run", ""]}, "its_user": {"$literal": user_id}}
    stages = [_one(schema.RUNS, "its_run"), _one(schema.USERS, "its_user")]
    if key:
        wanted["its_key"] = {"$literal": d.key_id(user_id, key)}
        stages.append(_one(schema.KEYS, "its_key"))
    pipeline = [{"$match": {"_id": thread_id}}, {"$addFields": wanted}, *stages]
    found = await _first(database, schema.THREADS, pipeline, session)
    thread = None if found is None else d.thread_for(found, user_id)
    if found is None or thread is None:
        return None
    run, user, remembered = (found.get(name) for name in ("its_run", "its_user", "its_key"))
    return Opening(
        thread=thread,
        last_run=d.run_of(run[0]) if run else None,
        user=d.user_of(user[0]) if user else None,
        remembered=d.remembered_of(remembered[0]) if remembered else None,
    )


async def asked_of(database: Database, run_id: str) -> Asked | None:
    """See ports.Records."""
    pipeline = [
        {"$match": {"_id": run_id}},
        {"$addFields": {"its_question": "$question_id", "its_user": "$user_id"}},
        _one(schema.MESSAGES, "its_question"),
        _one(schema.USERS, "its_user"),
    ]
    found = await _first(database, schema.RUNS, pipeline, None)
    if found is None:
        return None
    question, user = found["its_question"], found["its_user"]
    return Asked(
        run=d.run_of(found),
        question=d.message_of(question[0]) if question else None,
        user=d.user_of(user[0]) if user else None,
    )


async def watched_of(database: Database, user_id: str, run_id: str) -> Watched | None:
    """See ports.Records."""
    pipeline = [
        {"$match": {"_id": run_id}},
        {"$addFields": {"its_thread": "$thread_id", "its_answer": "$message_id"}},
        _one(schema.THREADS, "its_thread"),
        _one(schema.MESSAGES, "its_answer"),
    ]
    found = await _first(database, schema.RUNS, pipeline, None)
    thread = d.thread_for(found["its_thread"][0], user_id) if found is not None and found["its_thread"] else None
    if found is None or thread is None:
        return None
    answer = found["its_answer"]
    return Watched(run=d.run_of(found), thread=thread, answer=d.message_of(answer[0]) if answer else None)


def _one(collection: str, name: str) -> Stage:
    """Put a list with the document whose id the field holds in the field's place; an empty one where there is none."""
    return {"$lookup": {"from": collection, "localField": name, "foreignField": "_id", "as": name}}


async def _first(
    database: Database, collection: str, pipeline: list[Stage], session: AsyncClientSession | None
) -> d.Document | None:
    found = await (await database.collection(collection).aggregate(pipeline, session=session)).to_list(1)
    return found[0] if found else None
