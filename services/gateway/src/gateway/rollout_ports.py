"""What the handlers of the rollout need from outside, beside `ports`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from contracts.audit import RolloutChanged

from gateway.domain.shadowing import ShadowPair


class Audit(Protocol):
    """Who changed what, when and why. Every call raises UnavailableError."""

    async def tell(self, change: RolloutChanged) -> None:
        """Store a change, once per id (for two minutes). Raises StreamFullError."""

    async def told_revision(self) -> int:
        """The highest revision of the flag that any gateway has told; 0 for none."""

    async def newest(self, limit: int) -> Sequence[RolloutChanged]:
        """The newest changes first."""


class Shadows(Protocol):
    """What became of shadow runs. For administrators."""

    async def list_shadows(self, *, since: datetime, limit: int) -> Sequence[ShadowPair]:
        """The newest pairs whose shadow was begun since then. Raises Refusal."""


class Wishes(Protocol):
    """The path that each user would like."""

    async def of(self, user_id: str) -> str:
        """`legacy_sync`, `durable_event`, or empty without a wish; at most half a minute old. Raises Refusal."""

    def remember(self, user_id: str, path: str) -> None:
        """The user has just said so."""
