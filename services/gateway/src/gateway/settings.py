"""Every setting of the gateway: type, default, meaning."""

from pathlib import Path

from contracts.topology import WEBHOOK_SHARE
from egress.addresses import NETWORKS
from pydantic import Field
from runtime.settings import Port, ServiceSettings


class GatewaySettings(ServiceSettings):
    """See runtime.settings.ServiceSettings for those that every service has."""

    port: Port = Field(default=8080, description="Port of the public HTTP door; 0 takes a free one.")
    conversation_address: str = Field(
        default="127.0.0.1:7001",
        description="Where conversation answers gRPC: host:port, several separated by commas.",
    )
    conversation_deadline: float = Field(
        default=10.0,
        gt=0,
        description="What one call to conversation may take, waiting for a connection included, in seconds.",
    )
    inference_address: str = Field(
        default="127.0.0.1:7002",
        min_length=1,
        description="Where inference answers gRPC, for the list of agents and the legacy path: host:port, several by commas.",
    )
    guard_interval: float = Field(
        default=15.0, gt=0, description="How often the guard of the rollout compares the paths, in seconds."
    )
    guard_runs: int = Field(
        default=200, ge=1, description="Durable runs that must have ended at a share before the guard goes to the next."
    )
    guard_step_seconds: float = Field(
        default=600.0,
        ge=0,
        description="How long a share must have lasted before the guard goes to the next, in seconds.",
    )
    guard_cool_down: float = Field(
        default=900.0, ge=0, description="How long the guard waits after it has gone back, in seconds."
    )
    guard_stalled_seconds: float = Field(
        default=60.0,
        gt=0,
        description="After how long a run without any text counts as failed for the guard, in seconds.",
    )
    dev_key_file: Path | None = Field(
        default=None,
        description="A private Ed25519 JWK; tokens it signed are accepted, on loopback only, while no JWKS URL is set.",
    )
    dev_session: bool = Field(
        default=False,
        description="Give the page a session by name, on loopback, signed with the development key; `everthread up` sets it.",
    )
    sign_in_url: str | None = Field(
        default=None,
        pattern=r"^(https?://|/)[^\s]*$",
        description="Where the page sends people to sign in, with a JWKS URL; without it the page asks for a token.",
    )
    oidc_client_id: str | None = Field(
        default=None,
        min_length=1,
        description="The page's client at the identity provider (public, authorization code with PKCE, redirect address"
        " `/sign-in`): the page then signs people in itself; needs a JWKS URL.",
    )
    oidc_issuer: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s?#]+$",
        description="The identity provider that the page signs in at, as its discovery document names it; without it"
        " EVERTHREAD_JWT_ISSUER.",
    )
    oidc_scopes: str = Field(
        default="openid offline_access",
        pattern=r"^openid( [^\s]+)*$",
        description="Scopes the page asks for, `openid` first; with `offline_access` most providers give what a session is"
        " renewed with.",
    )
    trace_viewer_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]*\{trace_id\}[^\s]*$",
        description="The address of a trace in your viewer, with `{trace_id}`: the page and the console link to it.",
    )
    page_folder: Path | None = Field(
        default=None, description="The built page (`task web`); without it this gateway serves the API only."
    )
    demo_state_file: Path | None = Field(
        default=None,
        description="The state file of `everthread up --demo`: the page may then kill workers on this machine.",
    )
    jwks_url: str | None = Field(
        default=None, pattern=r"^https?://", description="Where the identity provider publishes its keys."
    )
    jwt_issuer: str | None = Field(default=None, description="The only `iss` that is accepted; needed with a JWKS URL.")
    jwt_audience: str | None = Field(
        default=None, description="The `aud` that tokens must have; needed with a JWKS URL."
    )
    cors_origins: str = Field(
        default="",
        pattern=r"^(https?://[^\s,/*]+(,https?://[^\s,/*]+)*)?$",
        description="Web origins that may call from a browser, exact, separated by commas: https://chat.example.org.",
    )
    streams_per_user: int = Field(
        default=200, ge=1, description="Event streams one user may have open at this gateway."
    )
    messages_per_second: float = Field(
        default=10.0, gt=0, description="Messages one user may send through this gateway in the long run, per second."
    )
    messages_burst: int = Field(default=100, ge=1, description="Messages one user may send at once.")
    webhook_share: int = Field(
        default=WEBHOOK_SHARE,
        ge=1,
        le=WEBHOOK_SHARE,
        description="How many deliveries may wait for one webhook whatever waits for others; the same for gateway and notifier.",
    )
    receiver_networks: str = Field(
        default="",
        pattern=NETWORKS,
        description="Networks that are not public and that webhooks and push may be sent to all the same: 10.20.0.0/16,…"
        " The same for gateway and notifier.",
    )
    insecure_receivers: bool = Field(
        default=False,
        description="For development only: webhooks and push may go to http:// addresses. The same for gateway and notifier.",
    )
    body_bytes: int = Field(default=262_144, ge=1024, description="The largest request body, in bytes.")
    document_bytes: int = Field(
        default=10 * 1024 * 1024, ge=1, le=15 * 1024 * 1024, description="The largest document that is taken, in bytes."
    )
    presence_seconds: float = Field(
        default=15.0,
        ge=2,
        description="How long a viewer is shown as there after the gateway they watched through died, in seconds.",
    )
    ring_bytes: int = Field(
        default=262_144, ge=4096, description="Newest events kept in memory per watched run or thread, in bytes."
    )
    piece_bytes: int = Field(
        default=65_536, ge=1024, description="The most that is written to one viewer at a time, in bytes."
    )

    @property
    def origins(self) -> list[str]:
        """`cors_origins` as a list."""
        return [origin for origin in self.cors_origins.split(",") if origin]
