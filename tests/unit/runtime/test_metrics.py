"""The catalogue of metrics, and what a process shows of it."""

import re
import subprocess
import sys
from urllib.request import urlopen

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from runtime import metrics
from runtime.health import Health
from runtime.names import EVERYWHERE, Metric, metric_of

FORBIDDEN = {"user", "user_id", "thread", "thread_id", "run", "run_id", "message_id"}


@pytest.mark.parametrize("metric", Metric, ids=lambda metric: metric.name)
def test_every_metric_says_what_it_is_and_what_to_do(metric: Metric) -> None:
    what = metric.value
    assert re.fullmatch(r"(everthread|gen_ai_client)_[a-z_]+", what.name)
    assert what.name.endswith("_total") == (what.instrument == "counter")
    assert (what.unit == "seconds") == what.name.endswith("_seconds")
    assert bool(what.buckets) == (what.instrument == "histogram")
    assert list(what.buckets) == sorted(what.buckets)
    assert what.meaning.endswith((".", ")")), what.meaning
    assert what.action.endswith("."), what.action
    assert set(what.services) <= set(EVERYWHERE)
    assert what.services
    assert not FORBIDDEN & set(what.labels), "a label with an id would be a time series for each"
    assert all(metric_of(sample) is metric for sample in what.samples)


def test_no_two_metrics_share_a_series() -> None:
    samples = [sample for metric in Metric for sample in metric.value.samples]
    assert len(samples) == len(set(samples))


def test_what_has_not_happened_is_shown_as_nought() -> None:
    # A process of its own: in this one other tests have already counted.
    script = (
        "from runtime import metrics; metrics.prepare('conversation', '1.2.3'); print(metrics.exposition().decode())"
    )
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert 'everthread_messages_accepted_total{path="legacy_sync"} 0.0' in shown
    assert 'everthread_build_info{version="1.2.3"} 1.0' in shown
    assert shown.endswith("# EOF\n\n")


async def test_a_recorded_trace_is_the_exemplar_and_others_are_not() -> None:
    metrics.observe(Metric.RECORD_SECONDS, 0.02)
    assert "trace_id" not in _lines("everthread_run_record_lag_seconds_bucket")
    for flags, wanted in ((TraceFlags.DEFAULT, False), (TraceFlags.SAMPLED, True)):
        span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(flags)))
        with trace.use_span(span):
            metrics.observe(Metric.RECORD_SECONDS, 0.02)
        assert (f'trace_id="{0xABC:032x}"' in _lines("everthread_run_record_lag_seconds_bucket")) is wanted


async def test_the_health_port_serves_metrics_with_the_checks_as_they_are_now() -> None:
    import asyncio

    health = Health()
    up = True
    health.check("database", lambda: up)
    port = await health.serve("127.0.0.1", 0)
    try:
        for up in (True, False):
            body = await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
            assert f'everthread_check_up{{check="database"}} {float(up)}' in body
    finally:
        await health.close()


def _lines(start: str) -> str:
    return "\n".join(line for line in metrics.exposition().decode().splitlines() if line.startswith(start))
