"""Metrics: prometheus_client behind the names of runtime.names, served on each process's health port at /metrics.

prometheus_client and not OpenTelemetry's metrics: measured, a counter costs 0.4 µs against 5.4, a histogram 0.9 against 5.7
(docs/adr/0010-metrics.md), and it has exemplars. Created when first used; nothing here touches the network.
"""

import asyncio
import math
from collections.abc import Callable
from functools import cache
from typing import Final, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from runtime import telemetry
from runtime.names import Metric

_encode, CONTENT_TYPE = choose_encoder("application/openmetrics-text; version=1.0.0")
LAG_EVERY: Final = 0.25
"""Seconds between two looks at the event loop."""

REGISTRY: Final = CollectorRegistry(auto_describe=False)
ProcessCollector(registry=REGISTRY)
# A `_created` beside every series would double each scrape, and nobody asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the package has no types for this one


def prepare(service: str, version: str) -> None:
    """Show every metric of `service` from the start, with 0 where its labels' values are known."""
    for metric in Metric:
        if service in metric.value.services:
            _instrument(metric)
            for values in metric.value.from_start:
                _instrument(metric).labels(*values)
    set_to(Metric.BUILD, 1, version=version)


def add(metric: Metric, amount: float = 1, /, **labels: str) -> None:
    """Count."""
    counter(metric, **labels).inc(amount)


def observe(metric: Metric, value: float, /, **labels: str) -> None:
    """Put a value into a histogram, with the current trace as exemplar where it is recorded."""
    child = histogram(metric, **labels)
    trace_id = telemetry.recorded_trace_id()
    if trace_id is None:
        child.observe(value)
    else:
        child.observe(value, {"trace_id": trace_id})


def set_to(metric: Metric, value: float, /, **labels: str) -> None:
    """Set a gauge."""
    gauge(metric, **labels).set(value)


def read(metric: Metric, value: Callable[[], float], /, **labels: str) -> None:
    """Have a gauge ask for its value when it is scraped; `value` must be quick and must not raise."""
    gauge(metric, **labels).set_function(value)


def counter(metric: Metric, /, **labels: str) -> Counter:
    """The counter itself, for a place that counts thousands a second."""
    return cast("Counter", _series(metric, **labels))


def histogram(metric: Metric, /, **labels: str) -> Histogram:
    """Likewise a histogram."""
    return cast("Histogram", _series(metric, **labels))


def gauge(metric: Metric, /, **labels: str) -> Gauge:
    """Likewise a gauge."""
    return cast("Gauge", _series(metric, **labels))


def exposition() -> bytes:
    """What /metrics answers: OpenMetrics, since only that form carries exemplars."""
    return _encode(REGISTRY)


def export(service: str, instance: str, endpoint: str) -> None:
    """Send them over OTLP as well, every quarter of a minute, from a thread of its own."""
    # Only here, since most processes are scraped and the SDK is 6 MiB.
    from runtime import metrics_export

    metrics_export.start(REGISTRY, telemetry.resource_of(service, instance), endpoint)


@cache
def _instrument(metric: Metric) -> Counter | Gauge | Histogram:
    what = metric.value
    if what.instrument == "counter":
        return Counter(what.name.removesuffix("_total"), what.meaning, what.labels, registry=REGISTRY)
    if what.instrument == "gauge":
        return Gauge(what.name, what.meaning, what.labels, registry=REGISTRY)
    return Histogram(what.name, what.meaning, what.labels, buckets=(*what.buckets, math.inf), registry=REGISTRY)


@cache
def _series(metric: Metric, /, **labels: str) -> Counter | Gauge | Histogram:
    # prometheus_client looks a series up in 2 µs, three times as long as it counts.
    found = _instrument(metric)
    return found.labels(**labels) if labels else found


async def watch_event_loop() -> None:
    """Measure the event loop's lag until cancelled."""
    loop = asyncio.get_running_loop()
    lag = histogram(Metric.LOOP_LAG)
    while True:
        due = loop.time() + LAG_EVERY
        await asyncio.sleep(LAG_EVERY)
        lag.observe(max(0.0, loop.time() - due))
