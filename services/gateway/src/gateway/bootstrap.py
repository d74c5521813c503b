"""The only place where adapters meet handlers, and the life of the process."""

import asyncio
import dataclasses
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import structlog
from bus.heartbeats import Heartbeats
from bus.jetstream import connect
from contracts.registry import Registry
from egress.addresses import public_or_within
from runtime import metrics
from runtime.names import Metric
from runtime.process import ConfigurationError, Process
from runtime.settings import load_models

from gateway.adapters.agents import GrpcAgents
from gateway.adapters.audit_stream import AuditStream
from gateway.adapters.browser_registry import BrowserRegistry
from gateway.adapters.budget_bucket import BudgetBucket
from gateway.adapters.conversation import GrpcConversation
from gateway.adapters.demo_workers import WorkersOfThisMachine
from gateway.adapters.departures import WatchedLog
from gateway.adapters.dev_sessions import DevelopmentSigner
from gateway.adapters.documents import GrpcDocuments
from gateway.adapters.feed_unread import FeedUnread
from gateway.adapters.flag_bucket import FlagBucket
from gateway.adapters.hub import Hub
from gateway.adapters.keys import DevelopmentKey, JwksKeys, check_loopback
from gateway.adapters.legacy_sync import LegacyConversation, LegacyLog, LegacyRuns, LegacyViewers
from gateway.adapters.member_notices import MemberNotices
from gateway.adapters.operations import GrpcOperations
from gateway.adapters.page_files import PageFolder
from gateway.adapters.path_wishes import PathWishes
from gateway.adapters.patient_log import PatientLog
from gateway.adapters.presence_bucket import PresenceBucket
from gateway.adapters.process_bucket import ProcessBucket
from gateway.adapters.rollout_bucket import Lease, RolloutBucket
from gateway.adapters.run_feeds import Feeds
from gateway.adapters.sharing import GrpcSharing
from gateway.adapters.thread_tools import GrpcThreadTools
from gateway.adapters.ticket_bucket import TicketBucket
from gateway.adapters.tokens import TokenAuthenticator
from gateway.adapters.usage import GrpcUsage
from gateway.adapters.webhook_registry import Broker, DeliveryRegistry, WebhookRegistry
from gateway.console_ports import Console
from gateway.domain.attendance import Attendance
from gateway.domain.budgets import MessageBudget, StreamBudget
from gateway.domain.guard import Broken, GuardPolicy
from gateway.domain.identity import DEV_AUDIENCE, DEV_ISSUER
from gateway.domain.oidc import OidcClient
from gateway.domain.path_flag import share_of
from gateway.entrypoints.app import build
from gateway.entrypoints.client_doors import open_doors
from gateway.entrypoints.guarding import keep_guarding
from gateway.entrypoints.server import HttpServer
from gateway.entrypoints.wiring import Doors, Readiness, Rollout, Wiring
from gateway.notice_ports import Notices
from gateway.ports import Flags, LogReader, Viewers
from gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from gateway.adapters.oidc_discovery import OidcDiscovery

logger = structlog.get_logger()

STREAM_END_SECONDS: Final = 0.2
"""Between telling event streams to end and closing the door, so that the last frames leave first."""


async def serve(process: Process, settings: GatewaySettings) -> None:
    """Serve until the process is told to stop, then end the streams, let calls finish, and leave."""
    authenticator = authenticator_of(settings)
    models = load_models(settings)
    legacy = LegacyRuns(settings.inference_address, now=lambda: datetime.now(UTC), models=models)
    conversation = LegacyConversation(
        settings.conversation_address, deadline=settings.conversation_deadline, runs=legacy
    )
    documents = GrpcDocuments(settings.conversation_address, deadline=settings.conversation_deadline)
    agents = GrpcAgents(settings.inference_address)
    usage = GrpcUsage(settings.conversation_address, deadline=settings.conversation_deadline)
    operations = GrpcOperations(settings.conversation_address, deadline=settings.conversation_deadline)
    bus = await connect(settings.nats_url, instance=process.instance)
    legacy.publish = bus.publish
    heartbeats = Heartbeats(bus, "gateway", version=version("everthread-gateway"))
    flags = FlagBucket(bus)
    await flags.start()
    attendance = Attendance()
    notices_of_members = MemberNotices(bus, attendance)
    await notices_of_members.start()
    presences = PresenceBucket(bus, attendance, place=bus.name, seconds=settings.presence_seconds)
    presences.start()
    tools = GrpcThreadTools(settings.conversation_address, deadline=settings.conversation_deadline)
    sharing = GrpcSharing(settings.conversation_address, deadline=settings.conversation_deadline)
    log = PatientLog(LegacyLog(bus.run_log, legacy, strict=False), lambda: bus.connected)
    watched = WatchedLog(LegacyLog(bus.run_log, legacy, strict=True), conversation.note_departure)
    hub = Hub(bus, ring_bytes=settings.ring_bytes, piece_bytes=settings.piece_bytes, log=watched)
    viewers = LegacyViewers(hub, legacy)
    bucket = RolloutBucket(bus, instance=process.instance)
    rollout = Rollout(
        store=bucket,
        results=conversation,
        policy=policy_of(settings),
        shadows=conversation,
        audit=AuditStream(bus),
    )
    oidc = oidc_of(settings)
    provider = discovery_of(oidc) if oidc is not None else None
    wiring = dataclasses.replace(
        wire(settings, conversation, log, viewers, authenticator, models, process.health.readiness, flags, rollout),
        oidc=oidc,
        provider=provider,
        documents=documents,
        attendance=attendance,
        sharing=sharing,
        tools=tools,
        presences=presences,
        agents=agents,
        spending=usage,
        budgets=BudgetBucket(bus),
        ticket_store=TicketBucket(bus),
        notices=notices_of(settings, bus),
        console=Console(operations=operations, processes=ProcessBucket(bus), levels=bus),
    )
    feeds = Feeds(watched, piece_bytes=settings.piece_bytes)
    doors, protocol_streams = open_doors(wiring, Doors(threads=conversation, feeds=feeds))
    app, streams = build(wiring, version=version("everthread-gateway"), client_doors=doors)
    metrics.read(Metric.VIEWERS, lambda: streams.open)
    metrics.read(Metric.WATCHED, lambda: hub.watched)
    metrics.read(Metric.VIEWER_BUFFER, lambda: hub.buffered)
    metrics.read(Metric.ROLLOUT_SHARE, lambda: _share(flags))
    server = HttpServer(app, settings.host, settings.port, grace=max(settings.drain_seconds - 2, 1))
    port = server.bind()
    process.health.check("nats", lambda: bus.connected)
    process.health.check("conversation", conversation.connected)
    process.health.check("http", lambda: server.started)
    serving = asyncio.create_task(server.serve(), name="http")
    lease = Lease(bus, instance=bus.name, seconds=3 * settings.guard_interval)
    guarding = asyncio.create_task(
        keep_guarding(
            flags,
            rollout.store,
            rollout.results,
            rollout.policy,
            interval=settings.guard_interval,
            holds=lease.hold,
            before=lambda: bucket.tell(Broken(gaps=hub.gaps_shown, doubles=hub.doubles_shown)),
            audit=rollout.audit,
        ),
        name="guard",
    )
    stopping = asyncio.create_task(process.stopping.wait(), name="stopping")
    heartbeats.start()
    if provider is not None:
        provider.start()
    logger.info("gateway.started", host=settings.host, port=port, development=settings.jwks_url is None)
    try:
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        streams.drain()
        protocol_streams.drain()
        await asyncio.sleep(STREAM_END_SECONDS)
        server.stop()
        await serving
    finally:
        stopping.cancel()
        guarding.cancel()
        await asyncio.gather(guarding, return_exceptions=True)
        await lease.release()
        await heartbeats.close()
        serving.cancel()
        await flags.close()
        await notices_of_members.close()
        await presences.close()
        await sharing.close()
        await watched.close()
        await legacy.close()
        await hub.close()
        await feeds.close()
        await authenticator.close()
        if provider is not None:
            await provider.close()
        await conversation.close()
        await tools.close()
        await documents.close()
        await usage.close()
        await agents.close()
        await operations.close()
        await bus.drain()


def authenticator_of(settings: GatewaySettings) -> TokenAuthenticator:
    """By the identity provider's keys if there is one, else by the development key, on loopback. Raises ConfigurationError."""
    if settings.jwks_url is not None:
        if not settings.jwt_issuer or not settings.jwt_audience:
            raise ConfigurationError(
                "EVERTHREAD_JWKS_URL is set, so EVERTHREAD_JWT_ISSUER and EVERTHREAD_JWT_AUDIENCE are needed as well"
            )
        return TokenAuthenticator(
            JwksKeys(settings.jwks_url), issuer=settings.jwt_issuer, audience=settings.jwt_audience
        )
    if settings.dev_key_file is None:
        raise ConfigurationError(
            "nobody could log in: set EVERTHREAD_JWKS_URL (an identity provider's keys) or, for development on this "
            "machine, EVERTHREAD_DEV_KEY_FILE"
        )
    check_loopback(settings.host)
    return TokenAuthenticator(DevelopmentKey(settings.dev_key_file), issuer=DEV_ISSUER, audience=DEV_AUDIENCE)


def session_key_of(settings: GatewaySettings) -> DevelopmentSigner | None:
    """What signs sessions by name: only with the development key, and where it was asked for. Raises ConfigurationError."""
    if not settings.dev_session or settings.jwks_url is not None or settings.dev_key_file is None:
        return None
    return DevelopmentSigner(settings.dev_key_file)


def oidc_of(settings: GatewaySettings) -> OidcClient | None:
    """The page as a client of the identity provider. Raises ConfigurationError."""
    if settings.oidc_client_id is None:
        return None
    if settings.jwks_url is None:
        raise ConfigurationError(
            "EVERTHREAD_OIDC_CLIENT_ID is set, so EVERTHREAD_JWKS_URL, EVERTHREAD_JWT_ISSUER and EVERTHREAD_JWT_AUDIENCE are "
            "needed as well: with them the provider's tokens are checked"
        )
    try:
        return OidcClient(
            issuer=settings.oidc_issuer or settings.jwt_issuer or "",
            client_id=settings.oidc_client_id,
            scopes=settings.oidc_scopes,
        )
    except ValueError as error:
        raise ConfigurationError(f"EVERTHREAD_OIDC_ISSUER: {error}") from error


def discovery_of(client: OidcClient) -> "OidcDiscovery":
    """Where the provider's addresses are read. Only this needs the HTTP client that comes with it."""
    from gateway.adapters.oidc_discovery import OidcDiscovery

    return OidcDiscovery(client)


def demo_of(settings: GatewaySettings) -> WorkersOfThisMachine | None:
    """The workers that the page may kill: in development only. Raises ConfigurationError."""
    if settings.demo_state_file is None:
        return None
    if settings.jwks_url is not None:
        raise ConfigurationError(
            "EVERTHREAD_DEMO_STATE_FILE is for development on this machine; unset it with EVERTHREAD_JWKS_URL"
        )
    return WorkersOfThisMachine(settings.demo_state_file)


def wire(
    settings: GatewaySettings,
    conversation: GrpcConversation,
    log: LogReader,
    viewers: Viewers,
    authenticator: TokenAuthenticator,
    models: Registry,
    readiness: Readiness,
    flags: Flags | None = None,
    rollout: Rollout | None = None,
) -> Wiring:
    """Everything behind the door, from its parts and the settings."""
    return Wiring(
        conversation=conversation,
        log=log,
        viewers=viewers,
        authenticator=authenticator,
        models=models,
        readiness=readiness,
        messages=MessageBudget(per_second=settings.messages_per_second, burst=settings.messages_burst),
        streams=StreamBudget(per_user=settings.streams_per_user),
        body_bytes=settings.body_bytes,
        origins=settings.origins,
        page=PageFolder(settings.page_folder) if settings.page_folder is not None else None,
        session_key=session_key_of(settings),
        sign_in_url=settings.sign_in_url,
        trace_viewer_url=settings.trace_viewer_url,
        demo=demo_of(settings),
        flags=flags,
        rollout=rollout,
        wishes=PathWishes(conversation),
        document_bytes=settings.document_bytes,
    )


def notices_of(settings: GatewaySettings, bus: Broker) -> Notices:
    """What the calls about reading, webhooks and push are built on. Raises ConfigurationError."""
    if settings.insecure_receivers and settings.jwks_url is not None:
        raise ConfigurationError(
            "EVERTHREAD_INSECURE_RECEIVERS is for development; webhooks go to https:// addresses here"
        )
    try:
        allowed = public_or_within(settings.receiver_networks)
    except ValueError as error:
        raise ConfigurationError(f"EVERTHREAD_RECEIVER_NETWORKS: {error}") from error
    return Notices(
        feeds=FeedUnread(bus),
        webhooks=WebhookRegistry(bus),
        deliveries=DeliveryRegistry(bus),
        browsers=BrowserRegistry(bus),
        allowed=allowed,
        insecure=settings.insecure_receivers,
        share=settings.webhook_share,
    )


def policy_of(settings: GatewaySettings) -> GuardPolicy:
    """The guard's rules."""
    return GuardPolicy(
        least_runs=settings.guard_runs,
        least_seconds=settings.guard_step_seconds,
        cool_down=settings.guard_cool_down,
        sample=min(settings.guard_runs, GuardPolicy().sample),
        stalled_after=settings.guard_stalled_seconds,
    )


def _share(flags: FlagBucket) -> float:
    share = share_of(flags.state.definition)
    return -1.0 if share is None else float(share)
