"""The page as a client of the identity provider (OpenID Connect): authorization code with PKCE, without a secret."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcClient:
    """What the page must know to sign people in. Raises ValueError for an issuer that is neither https nor on this machine."""

    issuer: str
    client_id: str
    scopes: str

    def __post_init__(self) -> None:
        address = urlsplit(self.issuer)
        if address.scheme != "https" and not _is_loopback(address.hostname or ""):
            raise ValueError(f"the identity provider is asked over https:// only, not at {self.issuer}")

    @property
    def origin(self) -> str:
        """Where the page may ask beside its own address, as a browser writes it."""
        address = urlsplit(self.issuer)
        return f"{address.scheme}://{address.netloc}"


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
