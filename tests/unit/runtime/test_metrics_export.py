"""Metrics over OTLP: the same figures, received as real bytes."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from runtime import metrics_export

Received = list[ExportMetricsServiceRequest]


@pytest.fixture
def collector() -> Iterator[tuple[str, Received, threading.Event]]:
    received: Received = []
    came = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()
            came.set()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/metrics", received, came
    server.shutdown()
    thread.join()
    server.server_close()


def test_counters_gauges_and_histograms_arrive_as_they_are_shown(
    collector: tuple[str, Received, threading.Event],
) -> None:
    endpoint, received, came = collector
    registry = CollectorRegistry()
    Counter("made", "How many.", ["kind"], registry=registry).labels("good").inc(3)
    Gauge("level", "How high.", registry=registry).set(7)
    histogram = Histogram("took_seconds", "How long.", buckets=(0.1, 1.0), registry=registry)
    for value in (0.05, 0.5, 0.6, 5.0):
        histogram.observe(value)
    stopped = metrics_export.start(registry, Resource({"service.name": "everthread-test"}), endpoint, every=0.05)
    try:
        assert came.wait(20)
    finally:
        stopped.set()
    (resource,) = received[0].resource_metrics
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "everthread-test"
    found = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    (made,) = found["made_total"].sum.data_points
    assert made.as_double == 3
    assert [(a.key, a.value.string_value) for a in made.attributes] == [("kind", "good")]
    assert found["made_total"].sum.is_monotonic
    assert found["level"].gauge.data_points[0].as_double == 7
    (took,) = found["took_seconds"].histogram.data_points
    assert (list(took.bucket_counts), list(took.explicit_bounds), took.count) == ([1, 2, 1], [0.1, 1.0], 4)
