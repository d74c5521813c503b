"""The metrics of the registry over OTLP as well, for a collector that does not scrape. A thread of its own: a collector that is
slow or away costs the event loop nothing, and what it missed is in the next export, since the figures are totals."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Sample

EVERY_SECONDS: Final = 15.0
EXPORT_SECONDS: Final = 5.0
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE


def start(
    registry: CollectorRegistry, resource: Resource, endpoint: str, *, every: float = EVERY_SECONDS
) -> threading.Event:
    """Export to `endpoint` (the whole address, as OTEL_EXPORTER_OTLP_METRICS_ENDPOINT has it) until the event that this
    returns is set, or the process ends."""
    exporter = OTLPMetricExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)
    begun, stopped = time.time_ns(), threading.Event()

    def work() -> None:
        while not stopped.wait(every):
            exporter.export(converted(registry, resource, begun))

    threading.Thread(target=work, name="metrics-export", daemon=True).start()
    return stopped


def converted(registry: CollectorRegistry, resource: Resource, begun: int) -> MetricsData:
    """The registry now, in OpenTelemetry's form, under the names that Prometheus shows. `begun` in nanoseconds."""
    now = time.time_ns()
    metrics = [metric for family in registry.collect() for metric in _metrics_of(family, begun, now)]
    scope = ScopeMetrics(scope=InstrumentationScope("everthread"), metrics=metrics, schema_url="")
    return MetricsData([ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metrics_of(family: Family, begun: int, now: int) -> Iterator[Metric]:
    if family.type == "histogram":
        points = list(_histogram_points(family.samples, begun, now))
        if points:
            yield Metric(family.name, family.documentation, "", Histogram(points, _CUMULATIVE))
        return
    numbers = [
        NumberDataPoint(sample.labels, begun, now, sample.value)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    if numbers and family.type == "counter":
        yield Metric(family.name + "_total", family.documentation, "", Sum(numbers, _CUMULATIVE, True))
    elif numbers:
        yield Metric(family.name, family.documentation, "", Gauge(numbers))


def _histogram_points(samples: list[Sample], begun: int, now: int) -> Iterator[HistogramDataPoint]:
    """Prometheus's buckets add up from the smallest; OpenTelemetry's stand for themselves."""
    series: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in samples:
        if sample.name.endswith("_created"):
            continue
        labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != "le"))
        key = sample.labels["le"] if "le" in sample.labels else sample.name.rpartition("_")[2]
        series.setdefault(labels, {})[key] = sample.value
    for labels, values in series.items():
        total, count = values.pop("sum", 0.0), int(values.pop("count", 0))
        ordered = sorted((float(bound), int(value)) for bound, value in values.items())
        below = [0, *(value for _, value in ordered)]
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=begun,
            time_unix_nano=now,
            count=count,
            sum=total,
            bucket_counts=[upper - lower for lower, upper in pairwise(below)],
            explicit_bounds=[bound for bound, _ in ordered[:-1]],
            min=float("nan"),
            max=float("nan"),
        )
