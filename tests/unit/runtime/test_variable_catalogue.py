"""The catalogue of EVERTHREAD_ variables and the settings classes agree, so that no service refuses another's variable."""

import importlib

import pytest
from runtime import variables
from runtime.settings import PREFIX, ServiceSettings, variables_of

SERVICES = {
    "gateway": variables.GATEWAY,
    "conversation": variables.CONVERSATION,
    "inference": variables.INFERENCE,
    "notifier": variables.NOTIFIER,
}


def settings_class(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"{service}.settings")
    (found,) = {
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ServiceSettings) and value.__module__ == module.__name__
    }
    return found


def ours(cls: type[ServiceSettings]) -> set[str]:
    return {name for name in variables_of(cls) if name.startswith(PREFIX)}


def test_shared_variables() -> None:
    assert ours(ServiceSettings) == variables.SHARED


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_variables_of_a_service(service: str) -> None:
    assert ours(settings_class(service)) - variables.SHARED == SERVICES[service], (
        f"{service}/settings.py and runtime/variables.py disagree: name each variable in both"
    )


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_setting_says_what_it_means(service: str) -> None:
    for name, field in variables_of(settings_class(service)).items():
        assert field.description, f"{service}: {name} has no description"
