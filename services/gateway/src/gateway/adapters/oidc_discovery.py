"""What the identity provider's discovery document says about where a page asks it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import httpx2

from gateway.adapters.pinned_document import PinnedDocument
from gateway.domain.oidc import OidcClient

PATIENCE_SECONDS: Final = 2.0
"""The longest that a page waits for a provider that does not answer: it says itself what is missing."""


class OidcDiscovery:
    """The provider's origins, read at the first need or by `start`, and again as `PinnedDocument` says."""

    def __init__(
        self,
        oidc: OidcClient,
        *,
        client: httpx2.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer: Final = oidc.origin
        self._document: Final = PinnedDocument(
            oidc.discovery, oidc.check_discovery, name="oidc_discovery", client=client, clock=clock
        )

    def start(self) -> None:
        """Read it now, in the background."""
        self._document.start_refresh()

    async def origins(self) -> tuple[str, ...]:
        """Where a page may ask: what the document names, the issuer's own first; the issuer's only where it could not be read
        yet, or says what is refused (the log tells which). Never raises."""
        if self._document.value is not None:
            self._document.refresh_if_stale()
        else:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._document.refresh()
            except TimeoutError:
                return (self._issuer,)
        return self._document.value or (self._issuer,)

    async def close(self) -> None:
        """Drop the connection."""
        await self._document.close()
