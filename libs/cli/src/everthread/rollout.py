"""`everthread rollout`: where the rollout of the durable path is, how both paths do, and what a person can do about it."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2

from everthread.errors import EXIT_USAGE, RefusedError
from everthread.home import Home
from everthread.keys import mint
from everthread.state import read_state

_TOKEN_SECONDS: Final = 300
_TICKS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 30
_CHANGES: Final = 5


@dataclass(frozen=True, kw_only=True)
class As:
    """Who asks: a user under the development key, with the role admin, or whoever a token file names."""

    user: str
    token_file: Path | None


def show_rollout(home: Home, who: As, *, window: int, as_json: bool) -> int:
    """Print where the rollout is; returns the exit code. Raises RefusedError."""
    _print(_call(home, who, "GET", {"window": window}, None), as_json=as_json)
    return 0


def ask_rollout(home: Home, who: As) -> dict[str, Any]:
    """Where the rollout is, of the runs of the last hour. Raises RefusedError."""
    return _call(home, who, "GET", {"window": 3600}, None)


def steer_rollout(home: Home, who: As, action: str, *, share: int | None, why: str, as_json: bool) -> int:
    """Change the rollout and print where it is then; returns the exit code. Raises RefusedError."""
    body: dict[str, Any] = {"action": action} | ({} if share is None else {"share": share})
    _print(_call(home, who, "PUT", {"why": why}, body), as_json=as_json)
    return 0


def _call(
    home: Home, who: As, method: str, parameters: dict[str, str | int], body: dict[str, Any] | None
) -> dict[str, Any]:
    mesh = read_state(home.state) if home.supervisor() is not None else None
    if mesh is None:
        raise RefusedError(f"nothing runs in {home.root}; start it with `everthread up`, in another terminal")
    headers = {"authorization": f"Bearer {_token(home, who, mesh.issuer)}"}
    # Loopback: whatever proxy the environment names is for other places.
    with httpx2.Client(timeout=httpx2.Timeout(15.0, connect=3.0), trust_env=False) as http:
        for url in mesh.urls:
            try:
                response = http.request(
                    method, f"{url}/v1/admin/rollout", params=parameters, json=body, headers=headers
                )
            except httpx2.TransportError as error:
                if method != "GET" and not isinstance(error, httpx2.ConnectError):
                    raise RefusedError(
                        "the gateway broke off; whether the rollout was changed, `everthread rollout status` says"
                    ) from None
                continue
            document: dict[str, Any] = response.json()
            if response.status_code >= 400:
                raise RefusedError(str(document.get("detail") or response.status_code).rstrip("."))
            return document
    raise RefusedError(f"no gateway answers at {', '.join(mesh.urls)}; look with `everthread doctor`")


def _token(home: Home, who: As, issuer: str) -> str:
    if who.token_file is not None:
        try:
            return who.token_file.read_text("utf-8").strip()
        except OSError as error:
            raise RefusedError(f"--token-file {who.token_file}: {error.strerror}") from None
    if issuer != "development":
        raise RefusedError("this mesh takes tokens from an identity provider; give one with --token-file", EXIT_USAGE)
    return mint(home.dev_key, user=who.user, role="admin", lifetime=_TOKEN_SECONDS)


def _print(rollout: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(rollout, indent=1))
    else:
        print("\n".join(lines_of(rollout, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)))


def lines_of(rollout: dict[str, Any], *, colour: bool = False) -> list[str]:
    """A table for a person."""
    ours, theirs = rollout["paths"]["durable_event"], rollout["paths"]["legacy_sync"]
    share = "no percentage decides" if rollout["share"] is None else f"{rollout['share']} % on durable_event"
    mode = {"running": "32", "cooling": "31", "paused": "33", "done": "32"}[rollout["mode"]]
    state = f"\x1b[{mode}m{rollout['mode']}\x1b[0m" if colour else rollout["mode"]
    until = f" until {rollout['cooling_until']}" if rollout["cooling_until"] else ""
    lines = [
        f"{share}, the guard is {state}{until} (steps {', '.join(map(str, rollout['steps']))}; last good {rollout['last_good']} %)"
    ]
    if rollout["reason"]:
        lines.append(f"because {rollout['reason']}")
    rows = [
        ("", "durable_event", "legacy_sync"),
        *(_counts(name, ours, theirs) for name in ("runs", "ended", "completed", "cancelled", "failed", "stalled")),
        ("completion", _percent(ours["completion_rate"]), _percent(theirs["completion_rate"])),
        ("errors", _percent(ours["error_rate"]), _percent(theirs["error_rate"])),
        *(
            (f"{words} {name}", _time(ours[key][name]), _time(theirs[key][name]))
            for words, key in (("first text", "first_text_ms"), ("duration", "duration_ms"))
            for name in ("p50", "p95", "p99")
        ),
        ("survived", _survival(ours), _survival(theirs)),
        ("database operations", *(_number(path["database_operations_per_answer"]) for path in (ours, theirs))),
        ("cost per answer", _money(ours["cost_per_answer_microusd"]), _money(theirs["cost_per_answer_microusd"])),
    ]
    width = max(len(row[0]) for row in rows)
    minutes = rollout["window_seconds"] / 60
    lines += ["", f"of the runs accepted in the last {minutes:.0f} minutes:"]
    lines += [f"{name:<{width}}  {one:>{_WIDTH}}  {other:>{_WIDTH}}".rstrip() for name, one, other in rows]
    for name, key in (
        ("runs", "runs_over_time"),
        ("errors", "errors_over_time"),
        ("first text", "first_text_p95_over_time"),
        ("survival", "survival_over_time"),
        ("database", "database_operations_over_time"),
    ):
        # Of one kind for both: what looks alike is alike.
        top = max([value or 0 for path in (ours, theirs) for value in path[key]])
        lines.append(
            f"{name:<{width}}  {spark(ours[key], top):>{_WIDTH}}  {spark(theirs[key], top):>{_WIDTH}}".rstrip()
        )
    for path, view in (("durable_event", ours), ("legacy_sync", theirs)):
        if view["errors"]:
            lines.append(f"{path} failed: " + ", ".join(f"{code} {count}" for code, count in view["errors"].items()))
    if rollout["error_difference"]:
        low, high = rollout["error_difference"]["low"], rollout["error_difference"]["high"]
        lines.append(f"durable_event has {low:+.1%} to {high:+.1%} errors more than legacy_sync (95 % interval)")
    broken = rollout["broken_promises"]
    if broken["gaps"] or broken["doubles"]:
        lines.append(f"promises broken: {broken['gaps']} events shown out of order, {broken['doubles']} shown twice")
    return [*lines, *_shadows(rollout["shadows"]), *_changes(rollout["changes"])]


def _shadows(shadows: dict[str, Any]) -> list[str]:
    """What the shadows say; nothing where there are none."""
    if not shadows["pairs"]:
        return []
    served, shadow = shadows["served"], shadows["shadow"]
    alike = "-" if shadows["similarity"] is None else f"{shadows['similarity']:.1%}"
    rows = [
        ("", "shadow (durable_event)", "served (legacy_sync)"),
        ("failed", str(shadow["failed"]), str(served["failed"])),
        *(
            (f"{words} {name}", _time(shadow[key][name]), _time(served[key][name]))
            for words, key in (("first text", "first_text_ms"), ("duration", "duration_ms"))
            for name in ("p50", "p95")
        ),
        ("tokens in", str(shadow["input_tokens"]), str(served["input_tokens"])),
        ("tokens out", str(shadow["output_tokens"]), str(served["output_tokens"])),
        ("cost", _money(shadow["cost_microusd"]), _money(served["cost_microusd"])),
        ("database operations", *(_number(side["database_operations_per_answer"]) for side in (shadow, served))),
    ]
    width = max(len(row[0]) for row in rows)
    return [
        "",
        f"{shadows['pairs']} answers of legacy_sync were repeated unseen by durable_event ({shadows['share']} % of the users now):",
        f"of {shadows['compared']} whole pairs {shadows['equal']} have the same text, {alike} alike on average",
        *(f"{name:<{width}}  {one:>{_WIDTH}}  {other:>{_WIDTH}}".rstrip() for name, one, other in rows),
    ]


def _changes(changes: list[dict[str, Any]]) -> list[str]:
    """The latest ones, newest first."""
    if not changes:
        return []
    shown = [
        f"  {change['at']}  {change['change']:<11}  {'' if change['share'] is None else str(change['share']) + ' %':>5}  "
        f"{change['by']}: {change['why']}"
        for change in changes[:_CHANGES]
    ]
    return ["", "the latest changes:", *shown]


def spark(values: list[float | None], top: float) -> str:
    """One character per value, as high as its share of `top`; a space where there is none or nothing."""
    return "".join(
        " " if not value else _TICKS[min(len(_TICKS) - 1, int(value / top * (len(_TICKS) - 1) + 0.5))]
        for value in values
    )


def _counts(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[str, str, str]:
    return name, str(ours[name]), str(theirs[name])


def _survival(path: dict[str, Any]) -> str:
    """Of the answers whose client went away."""
    return f"{path['survived']} of {path['departed']}, {path['survival']:.1%}" if path["departed"] else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _time(milliseconds: int | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"


def _money(microusd: float | None) -> str:
    return "-" if microusd is None else f"{microusd / 1_000_000:.6f} USD"
