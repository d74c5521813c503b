import pytest
from everthread.errors import EXIT_USAGE, RefusedError
from everthread.scale import parse_scale

ONE_EACH = {"conversation": 1, "inference": 1, "notifier": 1, "gateway": 1}


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("", {}),
        ("gateway=2,inference=3", {"gateway": 2, "inference": 3}),
        (" notifier = 2 , ", {"notifier": 2}),
        ("gateway=16", {"gateway": 16}),
    ],
)
def test_what_is_not_named_runs_once(text: str, changed: dict[str, int]) -> None:
    assert parse_scale(text) == ONE_EACH | changed


@pytest.mark.parametrize(
    "text", ["gateway", "gateway=", "gateway=0", "gateway=17", "gateway=-1", "gateway=²", "nats=2", "=2"]
)
def test_a_wrong_scale_is_refused_with_the_item_named(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        parse_scale(text)
    assert repr(text) in str(refused.value)
    assert refused.value.exit_code == EXIT_USAGE
