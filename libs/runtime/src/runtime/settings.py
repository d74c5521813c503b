"""Settings that every service has, and how settings are read: from the environment, all checked before anything starts."""

import difflib
import os
import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

from contracts.registry import Registry, RegistryError, load_registry
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from runtime.variables import KNOWN

PREFIX: Final = "EVERTHREAD_"
EXIT_CONFIGURATION: Final = 78
"""EX_CONFIG of sysexits.h: starting again changes nothing until somebody changes the settings."""


def _host_name() -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()).strip("-")[:64] or "unnamed"


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(BaseSettings):
    """What every service reads. A subclass adds its own fields, each with type, default and `Field(description=...)`.

    The variable is the field's name in capitals with EVERTHREAD_ before it, or the field's validation_alias where the name
    is not ours. A field that holds a secret has `repr=False`. An empty variable counts as unset.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        frozen=True,
        protected_namespaces=(),
    )

    nats_url: str = Field(
        validation_alias="NATS_URL",
        repr=False,
        min_length=1,
        description="Where NATS is, with this service's user: nats://user:password@host:port; several, separated by commas.",
    )
    instance: str = Field(
        default_factory=_host_name,
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="This process's name among its kind, such as gateway-1: in logs, traces and the broker's connection list.",
    )
    host: str = Field(default="127.0.0.1", description="The address on which the service listens.")
    health_host: str = Field(
        default="127.0.0.1",
        description="The address of /healthz, /readyz and /metrics. In a cluster 0.0.0.0, since probes ask the pod's address.",
    )
    health_port: Port = Field(default=0, description="Port of /healthz, /readyz and /metrics; 0 takes a free one.")
    stream_replicas: int = Field(
        default=1,
        ge=1,
        le=5,
        description="On how many NATS servers each stream is kept; the same for all services. With three servers: 3.",
    )
    drain_seconds: float = Field(
        default=25.0,
        ge=0,
        description="How long work under way may go on after SIGTERM before it is cut off and left to others, in seconds.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern=r"^https?://",
        description="Base address of an OpenTelemetry collector (OTLP over HTTP). Unset: no traces are recorded.",
    )
    otlp_metrics_endpoint: str | None = Field(
        default=None,
        validation_alias="OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        pattern=r"^https?://",
        description="Whole address to which metrics are sent (OTLP over HTTP) beside /metrics. Unset: they are only scraped.",
    )
    trace_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Which share of the traces is exported, from 0 to 1; those that failed or were taken over always are.",
    )
    log_format: Annotated[Literal["json", "console"], BeforeValidator(_lower)] = Field(
        default="json", description="json: one object per line; console: for a person's eyes."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        default="info", description="The least severity that is logged."
    )
    models_file: Path | None = Field(default=None, description="Another models.toml than the packaged one.")


_FROM_ENVIRONMENT: Final[dict[str, Any]] = {}
"""No values of our own: spelled out, as a type checker takes a required field for a required argument."""

S = TypeVar("S", bound=ServiceSettings)


def variables_of(cls: type[ServiceSettings]) -> dict[str, FieldInfo]:
    """The environment variables that `cls` reads, with the field behind each."""
    found: dict[str, FieldInfo] = {}
    for name, field in cls.model_fields.items():
        alias = field.validation_alias
        if isinstance(alias, AliasChoices):
            found.update({str(choice): field for choice in alias.choices})
        else:
            found[str(alias) if alias is not None else PREFIX + name.upper()] = field
    return found


def load_settings(cls: type[S]) -> S:
    """Read `cls` from the environment. Prints one sentence per wrong, missing or unknown variable and exits with 78.

    Values are never printed, since any of them may be a secret.
    """
    service = cls.__module__.partition(".")[0]
    sentences = unknown_variables(os.environ, cls)
    settings: S | None = None
    try:
        settings = cls(**_FROM_ENVIRONMENT)
    except ValidationError as error:
        sentences += _wrong_variables(cls, error)
    except SettingsError as error:
        sentences.append(f"A setting cannot be read: {error}.")
    if sentences or settings is None:
        _refuse(service, sentences)
    return settings


def load_models(settings: ServiceSettings) -> Registry:
    """The model registry that the settings and the environment describe. Exits with 78 and one sentence if it is unusable."""
    try:
        if settings.models_file is None:
            return load_registry(os.environ)
        return load_registry(os.environ, settings.models_file.read_text("utf-8"), file=str(settings.models_file))
    except OSError as error:
        _refuse("everthread", [f"EVERTHREAD_MODELS_FILE cannot be read: {error.strerror}: {settings.models_file}."])
    except (RegistryError, UnicodeDecodeError) as error:
        _refuse("everthread", [f"The model registry is not usable: {error}."])


def unknown_variables(environment: Mapping[str, str], cls: type[ServiceSettings]) -> list[str]:
    """One sentence for each EVERTHREAD_ variable that nothing reads, with the nearest one that exists."""
    known = KNOWN | variables_of(cls).keys()
    ours = sorted(variable.removeprefix(PREFIX) for variable in known if variable.startswith(PREFIX))
    sentences = []
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            # Without the prefix, which would make every name resemble every other.
            near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), ours, n=1, cutoff=0.6)
            remedy = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(sorted(KNOWN))}."
            sentences.append(f"{name} is set, but no service reads it; {remedy}")
    return sentences


def _wrong_variables(cls: type[ServiceSettings], error: ValidationError) -> list[str]:
    fields = variables_of(cls)
    names = {field_name: variable for variable, field in fields.items() for field_name in _names(cls, field)}
    sentences = []
    for problem in error.errors(include_input=True, include_url=False, include_context=False):
        place = str(problem["loc"][0]) if problem["loc"] else ""
        variable = place if place in fields else names.get(place, place)
        meaning = (fields[variable].description or "").rstrip(".") if variable in fields else ""
        if problem["type"] == "missing":
            sentences.append(f"{variable} is not set; it is needed. {meaning}.")
        else:
            expected = problem["msg"].removeprefix("Value error, ").rstrip(".")
            expected = expected[:1].lower() + expected[1:]
            sentences.append(f"{variable} is {_shape(problem['input'])}, which is refused: {expected}. {meaning}.")
    return sentences


def _names(cls: type[ServiceSettings], wanted: FieldInfo) -> list[str]:
    return [name for name, field in cls.model_fields.items() if field is wanted]


def _shape(value: object) -> str:
    if not isinstance(value, str):
        return f"a {type(value).__name__}"
    if re.fullmatch(r"[+-]?\d+", value):
        return f"a whole number of {len(value.lstrip('+-'))} digits"
    return f"a text of {len(value)} characters"


def _refuse(service: str, sentences: list[str]) -> NoReturn:
    for sentence in sentences:
        print(f"{service}: {sentence}", file=sys.stderr)
    raise SystemExit(EXIT_CONFIGURATION)
