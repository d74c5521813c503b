"""How runs went, out of what conversation answers."""

from datetime import datetime

from contracts.times import parse_rfc3339
from rpc.v1 import conversation_pb2 as pb

from gateway.domain.comparison import RunResult
from gateway.domain.shadowing import ShadowPair


def result_of(item: pb.RunResult, now: datetime) -> RunResult:
    """One run."""
    return RunResult(
        path=item.path,
        status=item.status,
        error_code=item.error_code,
        age=(now - parse_rfc3339(item.accepted_at)).total_seconds(),
        first_text_ms=item.first_text_ms if item.HasField("first_text_ms") else None,
        duration_ms=item.duration_ms if item.HasField("duration_ms") else None,
        cost_microusd=item.cost_microusd if item.HasField("cost_microusd") else None,
        input_tokens=item.input_tokens,
        output_tokens=item.output_tokens,
        attempts=item.attempts,
        operations=item.database_operations if item.HasField("database_operations") else None,
        departed=item.departed,
        overdue=item.overdue,
    )


def pair_of(item: pb.ShadowPair, now: datetime) -> ShadowPair:
    """A shadow and what it repeats."""
    return ShadowPair(
        served=result_of(item.served, now),
        shadow=result_of(item.shadow, now),
        similarity=item.similarity if item.HasField("similarity") else None,
        equal=item.equal,
    )
