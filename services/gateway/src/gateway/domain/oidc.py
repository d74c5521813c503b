"""The page as a client of the identity provider (OpenID Connect): authorization code with PKCE, without a secret."""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

DISCOVERY: Final = "/.well-known/openid-configuration"
ASKED: Final = ("token_endpoint", "revocation_endpoint")
"""What a browser asks by a script. Where it only leads (to sign in, to sign out) needs no permission, and nothing else is used."""

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\]")
"""What a host may be made of: nothing that means something in a policy (`*`, `;`, a blank)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcClient:
    """What the page must know to sign people in. Raises ValueError for an issuer that is neither https nor on this machine."""

    issuer: str
    client_id: str
    scopes: str

    def __post_init__(self) -> None:
        origin_of(self.issuer, local=True)

    @property
    def origin(self) -> str:
        """Where the page may always ask beside its own address, as a browser writes it."""
        return origin_of(self.issuer, local=True)

    @property
    def discovery(self) -> str:
        """The address of the provider's discovery document."""
        return self.issuer.rstrip("/") + DISCOVERY

    def check_discovery(self, document: Any) -> tuple[str, ...]:
        """The origins that a page asks at this provider, the issuer's first, by its discovery document. Raises ValueError with
        what is wrong: another issuer, no token endpoint, an address that is neither https nor on the issuer's own machine."""
        if not isinstance(document, dict):
            raise ValueError("it is no discovery document")  # noqa: TRY004 - the document is wrong, not our caller
        issuer = document.get("issuer")
        if not isinstance(issuer, str) or issuer.rstrip("/") != self.issuer.rstrip("/"):
            raise ValueError(f"it is the discovery document of {issuer}, not of {self.issuer}")
        if not document.get("token_endpoint"):
            raise ValueError("it names no token_endpoint")
        local = self.origin.startswith("http:") or _is_loopback(urlsplit(self.issuer).hostname or "")
        origins = [self.origin]
        for name in ASKED:
            address = document.get(name)
            if address is None:
                continue
            try:
                origins.append(origin_of(str(address), local=local))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return tuple(dict.fromkeys(origins))


def origin_of(text: str, *, local: bool) -> str:
    """The origin of an address, as a browser writes it. Raises ValueError for one that is not https (or, where `local`, http on
    this machine), or that has in its host what an address has not."""
    address = urlsplit(text)
    host = f"[{address.hostname}]" if ":" in (address.hostname or "") else address.hostname or ""
    if address.scheme != "https" and not (address.scheme == "http" and local and _is_loopback(address.hostname or "")):
        raise ValueError(f"the identity provider is asked over https:// only, not at {text}")
    if address.username is not None or address.password is not None or not _HOST.fullmatch(host):
        raise ValueError(f"{text} is no address of an identity provider")
    usual = {"https": 443, "http": 80}[address.scheme]
    return f"{address.scheme}://{host}" + (f":{address.port}" if address.port not in (None, usual) else "")


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
