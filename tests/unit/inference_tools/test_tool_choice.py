"""Which tools a call is offered, and why the others are not."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from inference.tools.domain.choice import MOST_TOOLS, Situation, choose_tools
from inference.tools.domain.output import as_text, cut_output
from inference.tools.domain.spec import ToolSpec


def spec(name: str, **options: Any) -> ToolSpec:
    return ToolSpec(name=name, description=name, input_schema={"type": "object"}, **options)


ALL = [
    spec("time", kind="builtin"),
    spec("document_search", kind="builtin", needs="documents"),
    spec("http_fetch", kind="builtin", needs="url"),
    spec("orders_find", kind="mesh"),
    spec("orders_cancel", kind="mesh", roles=frozenset({"support"})),
    spec("files_read", kind="mcp"),
]
CAN = Situation(model_has_tools=True, has_documents=True, texts=("look at https://example.org",))


def names(*patterns: str, situation: Situation = CAN) -> list[str]:
    return [tool.name for tool in choose_tools(ALL, patterns, situation).tools]


def test_the_agent_names_them() -> None:
    assert names("time", "mcp:files_*") == ["time", "files_read"]
    assert names() == []


def test_a_plain_star_does_not_let_other_services_in() -> None:
    assert "orders_find" not in names("*") or all(
        tool.kind == "builtin" for tool in choose_tools(ALL, ["t*"], CAN).tools
    )
    assert names("orders_find") == []


def test_roles() -> None:
    choice = choose_tools(ALL, ["mesh:*"], CAN)
    assert [tool.name for tool in choice.tools] == ["orders_find"]
    assert choice.left_out == {"orders_cancel": "only for the roles support"}
    support = Situation(model_has_tools=True, roles=frozenset({"support"}))
    assert names("mesh:*", situation=support) == ["orders_cancel", "orders_find"]


def test_what_the_message_needs() -> None:
    bare = Situation(model_has_tools=True)
    choice = choose_tools(ALL, ["time", "document_search", "http_fetch"], bare)
    assert [tool.name for tool in choice.tools] == ["time"]
    assert choice.left_out == {
        "document_search": "there are no documents to search",
        "http_fetch": "no address was named",
    }


def test_a_message_may_ask_for_fewer_but_never_for_more() -> None:
    asked = Situation(model_has_tools=True, asked_for=frozenset({"time", "files_read"}))
    assert names("time", "document_search", situation=asked) == ["time"]


def test_a_model_without_tools_is_offered_none() -> None:
    choice = choose_tools(ALL, ["time"], Situation(model_has_tools=False))
    assert choice.tools == ()
    assert choice.left_out == {"time": "the model cannot call tools"}


def test_a_service_cannot_take_a_built_in_tools_place() -> None:
    impostor = spec("time", kind="mesh")
    choice = choose_tools([impostor, *ALL], ["time", "mesh:time"], CAN)
    assert [tool.kind for tool in choice.tools] == ["builtin"]
    assert "mesh:time" in choice.left_out


def test_there_is_an_end_to_how_many() -> None:
    many = [spec(f"t{number:03}", kind="mcp") for number in range(MOST_TOOLS + 3)]
    choice = choose_tools(many, ["mcp:*"], CAN)
    assert len(choice.tools) == MOST_TOOLS
    assert len(choice.left_out) == 3


@given(st.text(max_size=600), st.integers(256, 400))
def test_a_cut_output_keeps_the_limit_and_is_a_prefix(text: str, limit: int) -> None:
    shown, cut = cut_output(text, limit)
    if not cut:
        assert shown == text
        return
    assert len(shown.encode()) <= limit
    assert text.encode("utf-8", "replace").decode().startswith(shown.rpartition("\n[Cut here")[0])


def test_an_object_that_is_cut_becomes_text() -> None:
    value = {"rows": list(range(500))}
    shown, cut = cut_output(value, 256)
    assert cut
    assert isinstance(shown, str)
    assert shown.startswith('{"rows": [0, 1,')
    assert cut_output(value, 10_000) == (value, False)
    assert as_text({"a": "ü"}) == '{"a": "ü"}'
