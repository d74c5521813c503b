"""The flag `path`: who gets which path, and which definitions are refused where."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from contracts.ids import user_id_of
from gateway.adapters.flagd import FlagdPathFlag
from gateway.domain.flag_mistakes import DefinitionError, read_definition
from gateway.domain.path_flag import (
    DURABLE,
    LEGACY,
    SHADOW,
    PathContext,
    share_of,
    standard_definition,
    switched_off,
    variables_of,
    with_share,
)
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
FLAGS = {share: FlagdPathFlag(standard_definition(share)) for share in range(101)}
USERS = [user_id_of("tests", f"user-{number}") for number in range(4000)]


def path_of(user_id: str, share: int, **context: Any) -> str:
    return FLAGS[share].decide(PathContext(user_id=user_id, **context)).path


@given(st.text(min_size=1), st.integers(0, 100), st.integers(0, 100))
def test_who_is_on_the_durable_path_stays_there_as_its_share_grows(user: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    if path_of(user, small) == DURABLE:
        assert path_of(user, large) == DURABLE


@given(st.text(min_size=1))
def test_nobody_at_0_and_everybody_at_100(user: str) -> None:
    assert path_of(user, 0) == LEGACY
    assert path_of(user, 100) == DURABLE


@pytest.mark.parametrize("share", [1, 5, 25, 50])
def test_a_share_is_about_that_many_users(share: int) -> None:
    chosen = sum(path_of(user, share) == DURABLE for user in USERS)
    expected = len(USERS) * share / 100
    assert abs(chosen - expected) < 4 * (expected * (1 - share / 100)) ** 0.5


def test_another_salt_deals_the_users_anew() -> None:
    other = FlagdPathFlag(standard_definition(50, salt="path-2:"))
    moved = sum(path_of(user, 50) != other.decide(PathContext(user_id=user)).path for user in USERS)
    assert 0.4 < moved / len(USERS) < 0.6


def test_without_a_user_it_is_the_legacy_path_whatever_the_share() -> None:
    decision = FLAGS[100].decide(PathContext(user_id=""))
    assert (decision.path, decision.reason) == (LEGACY, "TARGETING_KEY_MISSING")


def test_test_accounts_and_wishes_come_before_the_share() -> None:
    assert path_of(USERS[0], 0, test_account=True) == DURABLE
    assert path_of(USERS[0], 0, wish=DURABLE) == DURABLE
    assert path_of(USERS[0], 100, wish=LEGACY) == LEGACY
    assert path_of(USERS[0], 0, wish="nonsense") == LEGACY


def test_a_wish_counts_only_where_the_flag_allows_it() -> None:
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"] = {"fractional": [["durable_event", 0], ["legacy_sync", 100]]}
    assert FlagdPathFlag(definition).decide(PathContext(user_id=USERS[0], wish=DURABLE)).path == LEGACY


@pytest.mark.parametrize(
    ("rule", "context"),
    [
        ({"in": [{"var": "targetingKey"}, [USERS[7]]]}, {"user_id": USERS[7]}),
        ({"in": [{"var": "plan"}, ["team", "company"]]}, {"user_id": USERS[0], "plan": "team"}),
        ({"starts_with": [{"var": "model"}, "openai:"]}, {"user_id": USERS[0], "model": "openai:gpt-4o-mini"}),
        ({"var": "tools"}, {"user_id": USERS[0], "agent": "researcher"}),
        ({"==": [{"var": "role"}, "admin"]}, {"user_id": USERS[0], "role": "admin"}),
    ],
)
def test_rules_look_at_user_plan_model_tools_and_role(rule: dict[str, Any], context: dict[str, Any]) -> None:
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"] = {"if": [rule, DURABLE, LEGACY]}
    flag = FlagdPathFlag(read_definition(json.dumps(definition).encode()))
    assert flag.decide(PathContext(**context)).path == DURABLE
    assert flag.decide(PathContext(user_id=USERS[1])).path == LEGACY


def test_switched_off_everybody_is_on_the_legacy_path() -> None:
    flag = FlagdPathFlag(switched_off(standard_definition(100)))
    assert flag.decide(PathContext(user_id=USERS[0], test_account=True, wish=DURABLE)).path == LEGACY
    assert share_of(switched_off(standard_definition(100))) == 0
    assert share_of(with_share(switched_off(standard_definition(100)), 30)) == 30


def test_shadow_is_served_by_the_legacy_path() -> None:
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"] = {"fractional": [["shadow", 100]]}
    decision = FlagdPathFlag(read_definition(json.dumps(definition).encode())).decide(PathContext(user_id=USERS[0]))
    assert (decision.variant, decision.path) == (SHADOW, LEGACY)


def test_another_share_changes_nothing_else() -> None:
    definition = standard_definition(10)
    definition["flags"]["path"]["targeting"]["if"][0:0] = [{"in": [{"var": "plan"}, ["team"]]}, DURABLE]
    changed = with_share(definition, 55)
    assert share_of(changed) == 55
    assert share_of(definition) == 10
    expected = deepcopy(definition)
    expected["flags"]["path"]["targeting"]["if"][-1]["fractional"][1:] = [[DURABLE, 55], [LEGACY, 45]]
    assert changed == expected


def test_a_definition_without_a_percentage_gets_the_standard_one() -> None:
    definition = standard_definition(10)
    definition["flags"]["path"]["targeting"] = {}
    assert share_of(definition) is None
    assert with_share(definition, 20) == standard_definition(20)


def test_what_a_definition_looks_at() -> None:
    assert variables_of(standard_definition(5)) == {"wish", "test_account", "targetingKey"}


def test_the_file_in_deploy_is_the_standard_definition() -> None:
    data = (ROOT / "deploy/flags/path.json").read_bytes()
    assert read_definition(data) == standard_definition(1)


def _mistaken(change: Any) -> str:
    definition = standard_definition(25)
    change(definition)
    with pytest.raises(DefinitionError) as caught:
        read_definition(json.dumps(definition).encode())
    return str(caught.value)


def _flag(definition: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definition["flags"]["path"]
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda d: _flag(d)["targeting"]["if"][4]["fractional"].__setitem__(1, [DURABLE, 30]),
            "/flags/path/targeting/if/4/fractional: the weights add up to 105, not to 100",
        ),
        (
            lambda d: _flag(d)["targeting"]["if"][4]["fractional"].__setitem__(1, [DURABLE, "25"]),
            "/flags/path/targeting/if/4/fractional/1/1: a weight is a whole number from 0, not '25'",
        ),
        (
            lambda d: _flag(d)["targeting"]["if"][4]["fractional"].__setitem__(1, ["durable", 25]),
            "/flags/path/targeting/if/4/fractional/1/0: the variant 'durable' is not known",
        ),
        (
            lambda d: _flag(d)["targeting"]["if"][4]["fractional"].reverse(),
            "/flags/path/targeting/if/4/fractional",
        ),
        (
            lambda d: _flag(d)["targeting"]["if"].__setitem__(3, "durable_evnt"),
            "/flags/path/targeting/if/3: the variant 'durable_evnt' is not known; the nearest one is 'durable_event'",
        ),
        (
            lambda d: _flag(d)["targeting"]["if"].__setitem__(4, {"fractionl": []}),
            "/flags/path/targeting/if/4/fractionl: the operator 'fractionl' is not known; the nearest one is 'fractional'",
        ),
        (
            lambda d: _flag(d)["targeting"]["if"].__setitem__(2, {"var": "testaccount"}),
            "/flags/path/targeting/if/2/var: the name 'testaccount' is not known; the nearest one is 'test_account'",
        ),
        (lambda d: _flag(d)["targeting"].update(also=[]), "/flags/path/targeting: a rule has one operator, not 2"),
        (lambda d: _flag(d)["variants"].update(other="other"), "/flags/path/variants/other: the variant 'other'"),
        (lambda d: _flag(d)["variants"].update(shadow="on"), "/flags/path/variants/shadow: the value of a variant"),
        (lambda d: _flag(d).update(defaultVariant="legacy"), "/flags/path/defaultVariant: the variant 'legacy'"),
        (lambda d: _flag(d).update(state="ON"), "/flags/path/state: the state is 'ON'"),
        (lambda d: _flag(d).update(tarjeting={}), "/flags/path/tarjeting: the key 'tarjeting' is not known"),
        (lambda d: d["flags"].update(other={}), "/flags/other: only the flag 'path' is kept here"),
        (lambda d: d["flags"].clear(), "/flags: there is no flag 'path'"),
        (lambda d: _flag(d).update(targeting={"$ref": "nobody"}), "/flags/path/targeting/$ref: the evaluator 'nobody'"),
        (lambda d: d.update(metadata={"a/b": []}), "/metadata/a~1b: metadata holds"),
    ],
)
def test_a_mistake_is_told_with_its_place(change: Any, told: str) -> None:
    assert told in _mistaken(change)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'{\n "flags": {\n  "path": {,}}}', "line 3, column 12"),
        (b"", "line 1, column 1"),
        (b"[]", "a definition is a JSON object"),
        (b'{"flags": {}, "flags": {}}', "the key 'flags' stands twice"),
        (b"\xff", "byte 0: this is not UTF-8"),
        (b"[" * 60_000, "nested too deeply"),
        (b" " * 70_000, "larger than"),
    ],
)
def test_a_text_that_is_no_definition(text: bytes, told: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read_definition(text)
    assert told in str(caught.value)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["if", "var", "fractional", "x"]), inner)
    ),
    max_leaves=12,
)


@given(_json)
def test_whatever_stands_as_targeting_is_refused_or_decides(rule: Any) -> None:
    definition = standard_definition(0)
    definition["flags"]["path"]["targeting"] = rule
    try:
        usable = read_definition(json.dumps(definition).encode())
    except DefinitionError:
        return
    assert FlagdPathFlag(usable).decide(PathContext(user_id=USERS[0])).path in (LEGACY, DURABLE)
