"""Settings: what is refused, with which sentence, and that no value is ever shown."""

import os
from pathlib import Path

import pytest
from pydantic import Field
from runtime.settings import (
    EXIT_CONFIGURATION,
    ServiceSettings,
    load_models,
    load_settings,
    unknown_variables,
    variables_of,
)


class WorkerSettings(ServiceSettings):
    slots: int = Field(default=4, ge=1, description="How many at once.")
    api_key: str = Field(default="", validation_alias="OPENAI_API_KEY", repr=False, description="The provider's key.")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("EVERTHREAD_", "NATS_", "OTEL_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NATS_URL", "nats://gateway:hunter2@127.0.0.1:4222")


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        load_settings(WorkerSettings)
    assert stopped.value.code == EXIT_CONFIGURATION == 78
    return capsys.readouterr().err


def test_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERTHREAD_INSTANCE", "inference-2")
    monkeypatch.setenv("EVERTHREAD_HEALTH_PORT", "9001")
    monkeypatch.setenv("EVERTHREAD_SLOTS", "7")
    monkeypatch.setenv("EVERTHREAD_LOG_LEVEL", "WARNING")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    settings = load_settings(WorkerSettings)
    assert settings.instance == "inference-2"
    assert settings.health_port == 9001
    assert settings.slots == 7
    assert settings.log_level == "warning"
    assert settings.otlp_endpoint is None
    assert settings.nats_url == "nats://gateway:hunter2@127.0.0.1:4222"
    assert settings.api_key == "sk-canary"


def test_fields_can_be_given_by_name() -> None:
    assert WorkerSettings(nats_url="nats://elsewhere:4222", api_key="k").nats_url == "nats://elsewhere:4222"


def test_the_instance_is_one_subject_token_even_when_the_host_decides() -> None:
    assert "." not in load_settings(WorkerSettings).instance


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    shown = repr(load_settings(WorkerSettings))
    assert "hunter2" not in shown
    assert "sk-canary" not in shown


def test_a_missing_variable_is_named_with_its_meaning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NATS_URL")
    sentence = refusal(capsys)
    assert "NATS_URL is not set" in sentence
    assert "Where NATS is" in sentence


def test_a_wrong_value_is_described_but_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EVERTHREAD_HEALTH_PORT", "canary")
    monkeypatch.setenv("EVERTHREAD_SLOTS", "0")
    sentences = refusal(capsys)
    assert "EVERTHREAD_HEALTH_PORT is a text of 6 characters" in sentences
    assert "valid integer" in sentences
    assert "EVERTHREAD_SLOTS is a whole number of 1 digits" in sentences
    assert "canary" not in sentences
    assert len(sentences.splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("EVERTHREAD_HELTH_PORT", "EVERTHREAD_HEALTH_PORT"),
        ("EVERTHREAD_SLOT", "EVERTHREAD_SLOTS"),
        ("everthread_instanc", "EVERTHREAD_INSTANCE"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, near: str
) -> None:
    monkeypatch.setenv(name, "3")
    sentence = refusal(capsys)
    assert f"{name} is set" in sentence
    assert f"did you mean {near}?" in sentence


def test_a_variable_of_another_service_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERTHREAD_JWKS_URL", "https://id.example/jwks")
    monkeypatch.setenv("EVERTHREAD_HOME", "/somewhere")
    load_settings(WorkerSettings)


def test_a_name_that_resembles_nothing_lists_what_there_is() -> None:
    (sentence,) = unknown_variables({"EVERTHREAD_XYZZY_QQQ": "1", "OTHER": "1"}, ServiceSettings)
    assert "EVERTHREAD_INSTANCE" in sentence


def test_every_variable_has_a_meaning() -> None:
    for name, field in variables_of(ServiceSettings).items():
        assert field.description, name


def test_a_registry_with_a_key_that_nothing_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "our-models.toml"
    file.write_text('[providers.mine]\nbase_url = "http://127.0.0.1:1"\n[models."mine:small"]\nmax_ouput_tokens = 7\n')
    monkeypatch.setenv("EVERTHREAD_MODELS_FILE", str(file))
    with pytest.raises(SystemExit) as stopped:
        load_models(load_settings(WorkerSettings))
    assert stopped.value.code == EXIT_CONFIGURATION
    [sentence] = capsys.readouterr().err.splitlines()
    for part in (str(file), '[models."mine:small"]', "max_ouput_tokens", "max_output_tokens"):
        assert part in sentence
