"""How runs went, as messages of proto/rpc/v1/conversation.proto."""

from datetime import datetime

from contracts.times import rfc3339
from contracts.usage import Usage
from rpc.v1 import conversation_pb2 as pb

from conversation.domain.entities import DURABLE
from conversation.domain.shadows import Shadow, ShadowPair
from conversation.handlers.list_run_results import Result


def result_reply(result: Result) -> pb.RunResult:
    """How a run went."""
    run, usage = result.run, result.run.usage or Usage()
    return pb.RunResult(
        path=run.path,
        status=run.status,
        error_code=run.error_code,
        accepted_at=rfc3339(run.created_at),
        first_text_ms=_milliseconds(run.created_at, run.first_text_at),
        duration_ms=_milliseconds(run.created_at, run.ended_at),
        cost_microusd=run.cost_microusd,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        attempts=run.attempts,
        database_operations=result.operations,
        departed=run.departed_at is not None,
        overdue=result.overdue,
    )


def pair_reply(pair: ShadowPair) -> pb.ShadowPair:
    """A shadow beside the run that it repeats. Its acceptance and its end are the served run's, so are their operations."""
    shadow, operations = pair.shadow, pair.served_operations
    return pb.ShadowPair(
        served=result_reply(Result(run=pair.served, operations=operations)),
        shadow=_shadow_result(shadow, None if operations is None else operations + shadow.checkpoints),
        similarity=shadow.similarity,
        equal=shadow.equal,
    )


def _shadow_result(shadow: Shadow, operations: int | None) -> pb.RunResult:
    usage = shadow.usage or Usage()
    return pb.RunResult(
        path=DURABLE,
        status=shadow.status,
        error_code=shadow.error_code,
        accepted_at=rfc3339(shadow.created_at),
        first_text_ms=_milliseconds(shadow.created_at, shadow.first_text_at),
        duration_ms=_milliseconds(shadow.created_at, shadow.ended_at),
        cost_microusd=shadow.cost_microusd,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        attempts=shadow.attempts,
        database_operations=operations,
    )


def _milliseconds(begin: datetime, end: datetime | None) -> int | None:
    return None if end is None else max(0, round((end - begin).total_seconds() * 1000))
