"""A thread as Markdown: who wrote what, what tools were called, how an answer ended."""

import msgspec
from contracts.parts import ReasoningPart, SourcePart, TextPart, ToolCallPart
from gateway.domain.export import file_name, markdown_head, markdown_message
from gateway.domain.records import Message, Thread

AT = "2026-11-21T03:17:47.123Z"
THREAD = Thread(
    id="thr_1",
    title="A\n# title",
    model="",
    agent="",
    archived=False,
    pinned=False,
    starred=False,
    tags=(),
    created_at=AT,
    updated_at=AT,
)


def message(role: str, **fields: object) -> Message:
    known: dict[str, object] = {
        "id": "msg_1",
        "thread_id": "thr_1",
        "role": role,
        "status": "complete",
        "content": "",
        "parts_json": b"",
        "model": "",
        "usage": None,
        "cost_microusd": None,
        "run_id": "",
        "parent_message_id": "",
        "created_at": AT,
        "error_code": "",
        "error_message": "",
    }
    return msgspec.convert({**known, **fields}, Message)


def test_a_title_stays_one_line() -> None:
    assert markdown_head(THREAD) == f"# A # title\n\nThread `thr_1`, begun {AT}.\n"
    assert file_name(THREAD, "md") == "thr_1.md"


def test_a_question_has_its_author_and_its_own_text() -> None:
    assert markdown_message(message("user", content="Why?\n\n- a", author="usr_1")) == (
        f"\n## User `usr_1`, {AT}\n\nWhy?\n\n- a\n"
    )


def test_an_answer_shows_its_parts_in_order_and_how_it_ended() -> None:
    parts = [
        ReasoningPart(text="hm\nwell"),
        ToolCallPart(tool_call_id="c", name="search", state="completed"),
        SourcePart(source_id="s", title="Rome", url="https://example.org"),
        TextPart(text="Rome."),
    ]
    stopped = message(
        "assistant", parts_json=msgspec.json.encode(parts), model="m", status="cancelled", cancelled_by="usr_2"
    )
    assert markdown_message(stopped) == (
        f"\n## Assistant (m), {AT}\n"
        "\n> hm\n> well\n"
        "\n*Called the tool `search`: completed.*\n"
        "\n*Source: Rome <https://example.org>*\n"
        "\nRome.\n"
        "\n*This answer was stopped by `usr_2`.*\n"
    )
    failed = message("assistant", status="error", error_message="The provider is away.")
    assert markdown_message(failed).endswith("*This answer failed: The provider is away.*\n")
    assert "had not ended" in markdown_message(message("assistant", status="generating", content="half"))
