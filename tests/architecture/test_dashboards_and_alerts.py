"""Dashboards and alerts as code: every query can be parsed, asks for metrics and labels of the catalogue, and every alert has a
test and a runbook. (What the alerts do is tested by promtool: `task alerts:test`.)"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from runtime.names import PROCESS_SAMPLES, Metric, metric_of

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yaml"))
TESTS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
RUNBOOKS = ROOT / "docs/runbooks"
FROM_TARGETS = {"job", "instance", "service"}
"""Labels that the scrape gives, not the process."""
EVERY_SCRAPE = {"up"}
WANTED = {"mesh", "rollout", "run", "broker-database", "models"}


def _rules() -> Iterator[dict[str, Any]]:
    for file in RULES:
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]:
            yield from group["rules"]


RECORDED = {rule["record"] for rule in _rules() if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in _rules() if "alert" in rule}


def _queries(file: Path) -> Iterator[tuple[str, str]]:
    for panel in json.loads(file.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h")
            yield f"{file.name}: {panel['title']}", expr


ALL_QUERIES = [
    *((f"rule {rule.get('alert') or rule.get('record')}", rule["expr"]) for rule in _rules()),
    *(query for file in DASHBOARDS for query in _queries(file)),
]


def _selectors(query: str) -> list[promql_parser.VectorSelector]:
    found: list[promql_parser.VectorSelector] = []

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        for name in ("expr", "lhs", "rhs", "param", "vector_selector", "vs"):
            child = getattr(node, name, None)
            if child is not None:
                visit(child)
        for child in getattr(node, "args", None) or ():
            visit(child)

    visit(promql_parser.parse(query))
    return found


def _grouping(query: str) -> set[str]:
    """The labels of `by (…)`."""
    return {label.strip() for group in re.findall(r"\bby\s*\(([^)]*)\)", query) for label in group.split(",")} - {""}


@pytest.mark.parametrize(("where", "query"), ALL_QUERIES, ids=[where for where, _ in ALL_QUERIES])
def test_a_query_asks_for_what_there_is(where: str, query: str) -> None:
    selectors = _selectors(query)
    assert selectors, f"{where}: no metric in {query}"
    labels = set(FROM_TARGETS)
    for selector in selectors:
        name = selector.name or ""
        if name in RECORDED | PROCESS_SAMPLES | EVERY_SCRAPE:
            continue
        metric = metric_of(name)
        assert metric is not None, f"{where}: {name} is not in runtime/names.py"
        histogram = {"le"} if name.endswith("_bucket") else set()
        known = set(metric.value.labels) | FROM_TARGETS | histogram
        labels |= known
        for matcher in selector.matchers.matchers:
            assert matcher.name in known, f"{where}: {name} has no label {matcher.name}"
            _check_value(where, metric, matcher.name, matcher.value)
    assert _grouping(query) <= labels, f"{where}: groups by a label that nothing there has"


def _check_value(where: str, metric: Metric, label: str, value: str) -> None:
    what = metric.value
    if label == "le":
        assert float(value) in what.buckets, f"{where}: {what.name} has no bucket {value}"
        assert "." in value, f"{where}: Prometheus shows the bucket as {float(value)}, not {value}"
    if label in what.known and re.fullmatch(r"\w+", value):
        assert value in what.known[label], f"{where}: {what.name} never has {label}={value}"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".") or rule["annotations"]["summary"].endswith(").")
    runbook = ROOT / rule["annotations"]["runbook"]
    assert runbook.parent == RUNBOOKS
    assert runbook.is_file(), f"{alert} names {runbook.name}, which is not there"
    assert alert in runbook.read_text("utf-8"), f"{runbook.name} does not name {alert}"


def test_every_alert_is_tested() -> None:
    tested = set(re.findall(r'alertname="(\w+)"', "".join(file.read_text("utf-8") for file in TESTS)))
    assert tested == ALERTS.keys()


@pytest.mark.parametrize("runbook", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.name)
def test_a_runbook_names_metrics_that_are_there(runbook: Path) -> None:
    text = runbook.read_text("utf-8")
    for name in re.findall(r"\b(?:everthread|gen_ai_client)_[a-z_]+", text):
        series = {metric.value.name for metric in Metric} | {s for m in Metric for s in m.value.samples}
        assert name in series, f"{runbook.name} names {name}, which nobody shows"


def test_the_catalogue_names_runbooks_that_are_there() -> None:
    named = {name for metric in Metric for name in re.findall(r"docs/runbooks/[\w-]+\.md", metric.value.action)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_every_metric_is_on_a_dashboard_or_in_an_alert() -> None:
    asked = {selector.name for _, query in ALL_QUERIES for selector in _selectors(query)}
    unused = [metric.value.name for metric in Metric if not asked & set(metric.value.samples)]
    assert not unused, f"measured and never looked at: {unused}"


def test_the_dashboards_are_what_their_source_makes() -> None:
    assert {file.stem for file in DASHBOARDS} == WANTED
    made = subprocess.run(
        [sys.executable, "deploy/grafana/build.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
