"""Flags in flagd's format, evaluated in this process: OpenFeature with flagd's own evaluator, without any network."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Final

import structlog
from openfeature import api
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagResolutionDetails, FlagValueType
from openfeature.provider import AbstractProvider, Metadata
from opentelemetry import trace

from gateway.domain.path_flag import FLAG, LEGACY, VARIANTS, Definition, PathContext, PathDecision, variables_of

logger = structlog.get_logger()

PROVIDER: Final = "flagd-core"
_CHECKED: Final = PathContext(user_id="usr_checked", test_account=True, model="m", agent="a", plan="p", wish="w")


class CoreProvider(AbstractProvider):
    """flagd's evaluator behind OpenFeature's provider interface."""

    def __init__(self) -> None:
        super().__init__()
        self._core = FlagdCore()

    def set_flags(self, definition: Definition) -> None:
        """Evaluate by this one from now on."""
        # A fresh evaluator each time: nobody evaluates by half of a definition, and a mistake leaves the old one whole.
        core = FlagdCore()
        # Of a copy: flagd renames keys in what it is given, and the definition is shown and changed by others.
        core.set_flags(deepcopy(dict(definition)))
        self._core = core

    def get_metadata(self) -> Metadata:
        """OpenFeature's name of it."""
        return Metadata(PROVIDER)

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._core.resolve_boolean_value(flag_key, default_value, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._core.resolve_string_value(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._core.resolve_integer_value(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._core.resolve_float_value(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._core.resolve_object_value(flag_key, default_value, evaluation_context)


class FlagdPathFlag:
    """`ports.PathFlag`: the flag `path` by one definition at a time."""

    def __init__(self, definition: Definition, *, revision: int = 0) -> None:
        self._provider: Final = CoreProvider()
        # A domain of its own: several gateways in one process (tests) do not share their flags.
        domain = f"everthread-{id(self)}"
        self.use(definition, revision)
        api.set_provider_and_wait(self._provider, domain)
        self._client: Final = api.get_client(domain)

    def use(self, definition: Definition, revision: int) -> None:
        """Decide by this definition from the next message on."""
        self._provider.set_flags(definition)
        self._revision = revision
        self.reads = variables_of(definition)

    def decide(self, context: PathContext) -> PathDecision:
        """See ports.PathFlag."""
        if not context.user_id:
            return PathDecision(variant=LEGACY, reason="TARGETING_KEY_MISSING", revision=self._revision)
        asked = EvaluationContext(context.user_id, context.attributes())
        details = self._client.get_string_details(FLAG, LEGACY, asked)
        variant = details.value if details.value in VARIANTS else LEGACY
        if details.error_code is not None:
            logger.error("flag.failed", flag=FLAG, code=str(details.error_code), error=details.error_message)
        _tell(details, variant, self._revision)
        return PathDecision(variant=variant, reason=str(details.reason), revision=self._revision)


def check_by_evaluating(definition: Definition) -> None:
    """Raises ValueError where flagd's own evaluator cannot make a decision by it."""
    provider = CoreProvider()
    try:
        provider.set_flags(definition)
        asked = EvaluationContext(_CHECKED.user_id, _CHECKED.attributes())
        provider.resolve_string_details(FLAG, LEGACY, asked)
    except (OpenFeatureError, ValueError, TypeError, KeyError, AttributeError, ReferenceError) as error:
        raise ValueError(f"flagd cannot evaluate it: {error}") from error


def _tell(details: FlagEvaluationDetails[str], variant: str, revision: int) -> None:
    """OpenTelemetry's names for flag evaluations, as an event of the request's span."""
    span = trace.get_current_span()
    if not span.is_recording():
        return
    attributes: dict[str, str | int] = {
        "feature_flag.key": FLAG,
        "feature_flag.provider.name": PROVIDER,
        "feature_flag.result.variant": variant,
        "feature_flag.result.reason": str(details.reason).lower(),
        "feature_flag.version": str(revision),
    }
    if details.error_code is not None:
        attributes["error.type"] = str(details.error_code).lower()
    span.add_event("feature_flag.evaluation", attributes)
    span.set_attribute("feature_flag.result.variant", variant)
