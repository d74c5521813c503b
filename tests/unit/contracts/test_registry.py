"""models.toml: what cannot be used is refused in a sentence that names the entry."""

import re
from pathlib import Path

import pytest
from contracts.registry import RegistryError, load_registry

PROVIDER = '[providers.mine]\nbase_url = "http://127.0.0.1:1/v1/"\n'
MODEL = '[models."mine:small"]\n'


def test_what_an_entry_says_is_what_a_model_is() -> None:
    text = f"{PROVIDER}{MODEL}context_window = 100\ninput = 1\noutput = 2.5\nmax_output_tokens = 7"
    model = load_registry({}, text).models["mine:small"]
    assert (model.provider.base_url, model.upstream_name) == ("http://127.0.0.1:1/v1", "small")
    assert (model.context_window, model.max_output_tokens, model.cached_input) == (100, 7, None)
    assert (str(model.input), str(model.output)) == ("1", "2.5")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("providers = 3", "providers"),
        ("[providers]\nmine = 5", "providers"),
        ("models = [1]", "models"),
        ("[providers.mine]\nbase_url = 5", "base_url"),
        ('[providers.mine]\nbase_url = "127.0.0.1:80"', "http://"),
        ("[providers.mine]\nbase_url_env = 3", "base_url_env"),
        (f'{PROVIDER}{MODEL}context_window = "big"', "context_window"),
        (f"{PROVIDER}{MODEL}context_window = 0", "context_window"),
        (f"{PROVIDER}{MODEL}max_output_tokens = true", "max_output_tokens"),
        (f'{PROVIDER}{MODEL}input = "cheap"', "input"),
        (f"{PROVIDER}{MODEL}output = -1.0", "output"),
        (f"{PROVIDER}{MODEL}output = nan", "output"),
        (f"{PROVIDER}{MODEL}upstream_name = 5", "upstream_name"),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        load_registry({}, text)


def test_an_address_of_the_environment_is_named_by_its_variable_and_not_repeated() -> None:
    with pytest.raises(RegistryError, match="OPENAI_BASE_URL") as refused:
        load_registry({"OPENAI_BASE_URL": "sk-secret"})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            f"{PROVIDER}{MODEL}max_ouput_tokens = 7",
            '[models."mine:small"] max_ouput_tokens is set, but nothing reads it',
        ),
        (f"{PROVIDER}{MODEL}max_ouput_tokens = 7", "did you mean max_output_tokens?"),
        (f"{PROVIDER}{MODEL}Tools = true", "did you mean tools?"),
        ('[providers.mine]\nbase_url_enw = "MINE"', "[providers.mine] base_url_enw"),
        ('[providers.mine]\nbase_url_enw = "MINE"', "did you mean base_url_env?"),
        (
            '[provider.mine]\nbase_url = "http://127.0.0.1:1"',
            "provider is set, but nothing reads it (did you mean providers?",
        ),
        (f"{PROVIDER}[models.'mine:small']\nxyz = 1", "known are upstream_name, context_window"),
    ],
)
def test_a_key_that_nothing_reads_is_named_with_the_one_that_was_meant(text: str, said: str) -> None:
    with pytest.raises(RegistryError, match=rf"^/etc/mine\.toml: .*{re.escape(said)}"):
        load_registry({}, text, file="/etc/mine.toml")


def test_what_is_shipped_and_what_is_documented_has_no_such_key() -> None:
    assert load_registry({}).models
    guide = Path(__file__).parents[3].joinpath("docs/adding-a-provider.md").read_text("utf-8")
    [example] = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    model = load_registry({"MINE_BASE_URL": "http://127.0.0.1:1/v1"}, example).models["mine:small"]
    assert (model.available, model.max_output_tokens, model.parallel_tool_calls) == (True, 8192, False)
