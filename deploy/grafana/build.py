"""Write Grafana's JSON from dashboards.yaml: `python deploy/grafana/build.py` (with --check: say whether the files are what
this makes). Grafana's own form is long and repeats itself; nobody should have to review it."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCE = {"type": "prometheus", "uid": "${source}"}
COLUMNS = 24
SMALL = ("stat", "text")


def read() -> list[dict[str, Any]]:
    """The dashboards as dashboards.yaml has them."""
    made: list[dict[str, Any]] = yaml.safe_load((HERE / "dashboards.yaml").read_text("utf-8"))
    return made


def _panel(number: int, panel: dict[str, Any], x: int, y: int, width: int) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    made: dict[str, Any] = {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": panel.get("tells", ""),
        "gridPos": {"x": x, "y": y, "w": width, "h": 4 if kind in SMALL else 8},
    }
    if kind == "text":
        return made | {"options": {"mode": "markdown", "content": panel["text"]}}
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": SOURCE,
            "expr": expr,
            "legendFormat": legend or "__auto",
            "exemplar": "_bucket" in expr,
            "format": "heatmap" if kind == "heatmap" else "time_series",
        }
        for index, (legend, expr) in enumerate(panel["queries"].items())
    ]
    defaults = {"unit": panel["unit"], "min": 0}
    return made | {
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": targets,
    }


def _panels(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every row's heading, then its panels from left to right."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        heading = {"type": "row", "title": row["heading"], "collapsed": False, "panels": [], "gridPos": place}
        panels.append({"id": len(panels) + 1, **heading})
        y, x, height = y + 1, 0, 0
        for panel in row["panels"]:
            width = panel.get("width", 8)
            if x + width > COLUMNS:
                x, y, height = 0, y + height, 0
            made = _panel(len(panels) + 1, panel, x, y, width)
            height = max(height, made["gridPos"]["h"])
            panels.append(made)
            x += width
        y += height
    return panels


def render(dashboard: dict[str, Any]) -> str:
    """The text of one dashboard's file."""
    variables: list[dict[str, str]] = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    ]
    variables += [
        {"name": name, "type": "textbox", "query": value, "label": name}
        for name, value in dashboard.get("variables", {}).items()
    ]
    others = {
        "type": "dashboards",
        "tags": ["everthread"],
        "title": "Everthread",
        "asDropdown": False,
        "keepTime": True,
    }
    made = {
        "uid": f"everthread-{dashboard['name']}",
        "title": dashboard["title"],
        "description": dashboard["tells"],
        "tags": ["everthread"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "links": [others],
        "panels": _panels(dashboard["rows"]),
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write, or with --check compare; the exit code."""
    stale = []
    for dashboard in read():
        file, text = HERE / f"{dashboard['name']}.json", render(dashboard)
        if "--check" not in sys.argv[1:]:
            file.write_text(text, "utf-8")
        elif not file.exists() or file.read_text("utf-8") != text:
            stale.append(file.name)
    if stale:
        print(f"not what deploy/grafana/build.py makes: {', '.join(stale)}; run `task dashboards`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
