"""A log made of a stored message: it folds to that message, for viewers from the beginning and for those who were cut off."""

from dataclasses import replace

import msgspec
from contracts import events as e
from contracts.cursor import parse_cursor
from contracts.run_state import RunState
from gateway.domain.records import Message, Run
from gateway.domain.stored_log import STORED_END, frames_of, parts_of, state_events, stored_events
from hypothesis import given
from hypothesis import strategies as st

from tests.run_logs import AT, MESSAGE, RUN, THREAD, fold, run_logs


def stored(state: RunState) -> tuple[Run, Message]:
    """What conversation keeps of a run that ended."""
    run = Run(
        id=RUN,
        thread_id=THREAD,
        message_id=MESSAGE,
        model=state.model,
        path=state.path,
        status=state.status,
        created_at=AT,
        ended_at=state.ended_at or "",
        usage=state.usage,
        cost_microusd=state.cost_microusd,
        error_code=state.error_code or "",
        error_message=state.error_message or "",
        final_sequence=state.sequence,
        attempts=state.attempt,
    )
    message = Message(
        id=MESSAGE,
        thread_id=THREAD,
        role="assistant",
        status=state.status,
        content=state.content,
        parts_json=msgspec.json.encode(state.message_parts),
        model=state.model,
        usage=state.usage,
        cost_microusd=state.cost_microusd,
        run_id=RUN,
        parent_message_id="",
        created_at=AT,
        error_code=state.error_code or "",
        error_message=state.error_message or "",
    )
    return run, message


@given(run_logs())
def test_a_viewer_from_the_beginning_has_the_stored_message(log: list[e.RunEvent]) -> None:
    whole = fold(log)
    state = fold(stored_events(*stored(whole)))
    assert state.message_parts == whole.message_parts
    assert (state.status, state.content, state.usage, state.cost_microusd) == (
        whole.status,
        whole.content,
        whole.usage,
        whole.cost_microusd,
    )
    assert (state.error_code, state.error_message, state.message_id) == (
        whole.error_code,
        whole.error_message,
        whole.message_id,
    )


@given(run_logs(), st.data())
def test_a_viewer_who_was_cut_off_has_the_stored_text_and_totals(log: list[e.RunEvent], data: st.DataObject) -> None:
    whole = fold(log)
    cut = data.draw(st.integers(1, len(log) - 1))
    rest = stored_events(*stored(whole), seen=cut)
    state = fold([*log[:cut], *rest])
    assert (state.status, state.content) == (whole.status, whole.content)
    last = rest[-1]
    assert isinstance(last, e.RunCompleted | e.RunFailed | e.RunCancelled)
    assert (last.usage, last.cost_microusd) == (whole.usage, whole.cost_microusd)


@given(run_logs(), st.data())
def test_a_running_run_without_its_beginning_is_shown_from_its_state(
    log: list[e.RunEvent], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(1, len(log) - 1))
    whole = fold(log[:cut])
    state = fold(state_events(whole))
    assert (state.content, state.message_parts) == (whole.content, whole.message_parts)
    assert not state.is_terminal


@given(run_logs())
def test_cursors_of_synthetic_events_start_over_until_the_end(log: list[e.RunEvent]) -> None:
    events = stored_events(*stored(fold(log)), seen=3)
    ids = [line.removeprefix(b"id: ") for line in frames_of(events).split(b"\n") if line.startswith(b"id: ")]
    cursors = [parse_cursor(text.decode()) for text in ids]
    assert [cursor.sequence for cursor in cursors] == list(range(4, 4 + len(events)))
    assert {cursor.stream_sequence for cursor in cursors[:-1]} == {0}
    assert cursors[-1].stream_sequence == STORED_END
    on_a_thread = frames_of(events, end=0)
    assert str(STORED_END).encode() not in on_a_thread


def test_a_message_without_parts_is_its_content() -> None:
    state = fold([])
    state.status = "complete"
    run, message = stored(state)
    assert parts_of(message) == []
    events = stored_events(run, replace(message, content="kept", parts_json=b""))
    assert fold(events).content == "kept"
