"""Change what a user wants in every thread."""

from contracts.codes import Code

from conversation.domain.entities import DURABLE, LEGACY, Preferences, User
from conversation.domain.limits import check_prompt
from conversation.domain.refusals import RefusedError, unknown_model
from conversation.handlers.access import check_user
from conversation.ports import Parts


async def update_preferences(
    parts: Parts, user_id: str, *, system_prompt: str | None, default_model: str | None, path: str | None = None
) -> Preferences:
    """All preferences after the change; None leaves one as it is, an empty text takes it back."""
    changes = {}
    if system_prompt is not None:
        changes["system_prompt"] = check_prompt(system_prompt, parts.limits)
    if default_model is not None:
        if default_model and parts.registry.find(default_model) is None:
            raise unknown_model(default_model)
        changes["default_model"] = default_model
    if path is not None:
        if path not in ("", DURABLE, LEGACY):
            raise RefusedError(
                Code.BODY_INVALID, f"The path is {path[:40]!r}; it may be {DURABLE}, {LEGACY} or empty, for no wish."
            )
        changes["path"] = path
    return await parts.records.change_preferences(User(id=check_user(user_id), created_at=parts.now()), changes)
