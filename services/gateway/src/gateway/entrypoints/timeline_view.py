"""A run's timeline as clients get it."""

from pydantic import BaseModel

from gateway.domain.records import Run
from gateway.domain.timeline import Timeline


class PhaseView(BaseModel):
    """accepted, published, claimed, asked, first_token, shown, ended or stored; milliseconds after acceptance and after the one before."""

    name: str
    at: str
    offset_ms: int
    took_ms: int


class AttemptSpanView(BaseModel):
    """One worker's hold on the run. `trace_id` finds it in the trace viewer; null where its trace is not recorded."""

    attempt: int
    worker: str
    started_at: str
    ended_at: str | None
    trace_id: str | None = None


class StepSpanView(BaseModel):
    """One model or tool call of one attempt."""

    step: int
    kind: str
    name: str
    attempt: int
    started_at: str
    ended_at: str | None
    outcome: str
    finish_reason: str | None


class TimelineView(BaseModel):
    """Where a run spent its time. `whole` is false where its log has expired and only its record is left."""

    run_id: str
    thread_id: str
    model: str
    path: str
    status: str
    whole: bool
    phases: list[PhaseView]
    attempts: list[AttemptSpanView]
    steps: list[StepSpanView]
    retractions: int
    pieces: int


def timeline_view(run: Run, timeline: Timeline) -> TimelineView:
    """As clients get it."""
    return TimelineView(
        run_id=run.id,
        thread_id=run.thread_id,
        model=run.model,
        path=run.path,
        status=run.status,
        whole=timeline.whole,
        phases=[PhaseView.model_validate(phase, from_attributes=True) for phase in timeline.phases],
        attempts=[AttemptSpanView.model_validate(span, from_attributes=True) for span in timeline.attempts],
        steps=[StepSpanView.model_validate(span, from_attributes=True) for span in timeline.steps],
        retractions=timeline.retractions,
        pieces=timeline.pieces,
    )
