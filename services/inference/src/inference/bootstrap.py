"""The only place where adapters meet handlers, and the life of the process."""

import asyncio
import os
from importlib.metadata import version

import structlog
from bus.errors import BusError
from bus.heartbeats import Heartbeats
from bus.jetstream import JetStreamBus, connect
from contracts import topology
from contracts.registry import Registry
from rpc.v1.agents_pb2_grpc import add_AgentServiceServicer_to_server
from rpc.v1.inference_pb2_grpc import add_InferenceServiceServicer_to_server
from runtime import metrics, rpc
from runtime.names import Metric
from runtime.process import ConfigurationError, Process, StartupError
from runtime.settings import load_models

from inference.adapters.agent_tools import AgentTools
from inference.adapters.attempt_spans import AttemptSpans
from inference.adapters.breaking_models import BreakingModels
from inference.adapters.bucket_budgets import BucketBudgets
from inference.adapters.bus_peers import BusPeers, decode_question, encode_answer
from inference.adapters.chat_models import ChatModels
from inference.adapters.grpc_inputs import GrpcRunInputs
from inference.adapters.measurements import MeasuredAttempts, MeasuredModels
from inference.adapters.own_tools import new_toolbox
from inference.adapters.system_clock import SystemClock
from inference.adapters.traced_steps import TracedPassages, TracedTools
from inference.agents.domain.checked_table import AgentConfigError
from inference.agents.domain.config import Agents, read_agents
from inference.agents.files import agent_files
from inference.domain.peers import PeerClaims
from inference.domain.retry import RetryPolicy
from inference.entrypoints.agent_service import AgentService
from inference.entrypoints.commands import commands_subscriber
from inference.entrypoints.legacy_sync import LegacySync
from inference.entrypoints.peers import hearing_peers
from inference.handlers.drain_runs import drain_runs
from inference.handlers.execute_run import RunExecutor
from inference.handlers.running import RunningRuns
from inference.ports import Parts
from inference.retrieval.bootstrap import open_retrieval
from inference.settings import InferenceSettings

logger = structlog.get_logger()

HAND_OVER_SECONDS = 5.0
"""The part of the drain budget kept for handing over what did not finish."""


async def serve(process: Process, settings: InferenceSettings) -> None:
    """Execute runs until the process is told to stop; then let them finish for a while and hand over the rest."""
    registry = load_models(settings)
    bus = await _open_bus(settings, process.instance)
    channel = rpc.connect(settings.conversation_address, idempotent=["everthread.v1.ConversationService/GetRunInput"])
    models = ChatModels(
        idle_seconds=settings.upstream_idle_seconds,
        connect_seconds=settings.upstream_connect_seconds,
        trace_text=settings.trace_text,
    )
    clock = SystemClock()
    retrieval = open_retrieval(settings, registry, bus, channel, clock.stamp)
    running, claims = RunningRuns(), PeerClaims()
    metrics.set_to(Metric.SLOTS, settings.slots)
    metrics.read(Metric.SLOTS_IN_USE, lambda: len(running))
    heartbeats = Heartbeats(
        bus, "inference", version=version("everthread-inference"), slots=lambda: (settings.slots, len(running))
    )
    agents = _read_agents(settings, registry)
    toolbox = new_toolbox(bus, agents, clock, os.environ)
    passages = TracedPassages(retrieval.search)
    budgets = BucketBudgets(bus)
    parts = Parts(
        log=bus.run_log,
        inputs=GrpcRunInputs(channel),
        models=BreakingModels(
            MeasuredModels(models), failures=settings.upstream_failures, seconds=settings.upstream_rest_seconds
        ),
        registry=registry,
        clock=clock,
        retry=RetryPolicy(tries=settings.upstream_tries, budget=settings.upstream_retry_seconds),
        max_answer_bytes=settings.answer_bytes,
        agents=agents,
        tools=TracedTools(AgentTools(toolbox, agents, passages)),
        passages=passages,
        budgets=budgets,
        timers=bus,
    )
    peers, telemetry = BusPeers(bus, claims), MeasuredAttempts(AttemptSpans())
    executor = RunExecutor(parts, worker=bus.name, running=running, peers=peers, telemetry=telemetry)
    legacy = LegacySync(
        parts,
        worker=bus.name,
        peers=peers,
        telemetry=telemetry,
        commands=bus.run_log,
        publish=bus.publish,
        conversation=channel,
    )
    server = rpc.Server()
    add_InferenceServiceServicer_to_server(legacy, server.grpc)
    add_AgentServiceServicer_to_server(AgentService(agents), server.grpc)
    consuming: asyncio.Task[None] | None = None
    reading: asyncio.Task[None] | None = None
    try:
        async with (
            hearing_peers(bus, running, claims, decode=_question, encode=encode_answer),
            budgets.watching(),
        ):
            consuming = asyncio.create_task(
                bus.consume(topology.EXECUTE, commands_subscriber(executor), concurrency=settings.slots)
            )
            reading = asyncio.create_task(bus.consume(topology.READ, retrieval.commands, concurrency=settings.reading))
            await server.start(settings.host, settings.grpc_port)
            process.health.check("nats", lambda: bus.connected)
            process.health.check("commands", lambda: not consuming.done())
            heartbeats.start()
            logger.info("inference.started", worker=bus.name, slots=settings.slots)
            stopping = asyncio.create_task(process.stopping.wait())
            await asyncio.wait({consuming, reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            bus.stop_consuming()
            grace = max(0.0, settings.drain_seconds - HAND_OVER_SECONDS)
            await asyncio.gather(drain_runs(running, grace=grace), legacy.drain(grace=grace), server.stop(grace + 2))
            await asyncio.wait({consuming}, timeout=HAND_OVER_SECONDS)
            for work in (consuming, reading):
                if work.done():
                    # Where it ended by itself, the process fails with its error instead of leaving as if all were well.
                    work.result()
    finally:
        await heartbeats.close()
        begun = [task for task in (consuming, reading) if task is not None]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        await retrieval.close()
        await models.close()
        await toolbox.close()
        await channel.close()
        await bus.drain()


def _question(data: bytes) -> tuple[str, str, int]:
    question = decode_question(data)
    return question.run_id, question.reply, question.stream_sequence


def _read_agents(settings: InferenceSettings, registry: Registry) -> Agents:
    try:
        return read_agents(agent_files(settings.agents_folder), models=registry.models)
    except AgentConfigError as error:
        raise ConfigurationError(str(error)) from error


async def _open_bus(settings: InferenceSettings, instance: str) -> JetStreamBus:
    try:
        bus = await connect(settings.nats_url, instance=instance)
        await bus.reconcile(replicas=settings.stream_replicas)
    except BusError as error:
        raise StartupError(str(error)) from error
    return bus
