"""`task rollout-demo`: the guard gives the durable path to more and more users, the path breaks, the guard takes it back.

The whole mesh with the scripted upstream, two gateways, steady messages of several hundred users, some of whom close their tab
in the middle of the answer; part of what legacy_sync answers is repeated unseen by the durable path. At 50 % every message that
is answered by the durable path begins to fail at its provider, and only those. Shown and checked: the guard goes back within two
evaluations, every accepted message reaches its end, what was broken is told on the stream AUDIT. Writes docs/rollout-demo.md and
docs/rollout-demo.svg, what the dashboard of the rollout showed meanwhile.
"""

import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
from contracts.ids import user_id_of
from everthread.keys import mint
from everthread.rollout import lines_of
from gateway.adapters.flagd import FlagdPathFlag
from gateway.domain.path_flag import DURABLE, LEGACY, PathContext, standard_definition

from tests import mesh as mesh_module
from tests.e2e.conftest import MODELS
from tests.load.rollout_picture import Scrapes, picture
from tests.mesh import TERMINAL, Mesh
from tests.sse import frames
from tests.upstream import UpstreamProcess

INTERVAL: Final = 2.0
STEPS: Final = (1, 5, 25, 50)
PER_SECOND: Final = 12.0
LONGEST: Final = 240.0
PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "rollout-demo.md"
GOOD: Final = "tokens=15 rate=60"
BAD: Final = "tokens=15 status=400 message=broken_on_purpose"
LONG: Final = "tokens=120 rate=30"
"""For those who leave in the middle: four seconds."""
LEAVES: Final = 0.12
SHADOWS: Final = 30
PICTURE: Final = PAGE.with_suffix(".svg")


ENDED: Final = {"complete": "run.completed", "error": "run.failed", "cancelled": "run.cancelled"}


@dataclass
class Demo:
    """What happened."""

    mesh: Mesh
    groups: list[list[str]]
    began: float = field(default_factory=time.monotonic)
    told: list[str] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    broken_from: float = 0.0
    first_failure: float = 0.0
    changed_at: float = 0.0
    share: int = 0
    scrapes: Scrapes = field(default_factory=Scrapes)

    def tell(self, text: str) -> None:
        line = f"{time.monotonic() - self.began:6.1f} s  {text}"
        self.told.append(line)
        print(line, flush=True)


def grouped(count: int) -> list[list[str]]:
    """Users by the share at which they come to the durable path, so that each step has some who send."""
    flags = [FlagdPathFlag(standard_definition(share)) for share in STEPS]
    groups: list[list[str]] = [[] for _ in range(len(STEPS) + 1)]
    for number in range(count):
        user_id = user_id_of("everthread-dev", f"demo-{number}")
        decided = [flag.decide(PathContext(user_id=user_id)).path == DURABLE for flag in flags]
        groups[decided.index(True) if any(decided) else -1].append(f"demo-{number}")
    return [group[:40] for group in groups]


async def answer(demo: Demo, number: int) -> None:
    """One message of one user, watched to its end."""
    group = random.Random(number).choice(demo.groups)
    user = random.Random(number * 7).choice(group)
    mesh = demo.mesh
    token = mint(mesh.home / "dev-key.json", user=user, role="user", lifetime=600)
    headers = {"authorization": f"Bearer {token}"}
    url = mesh.urls[number % 2]
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=httpx2.Timeout(30), trust_env=False) as client:
        thread = (await client.post("/v1/threads", json={})).json()["id"]
        # Who is on the durable path at a share is known beforehand; at the moment of going back, legacy_sync may get one or two.
        broken = bool(demo.broken_from) and demo.groups.index(group) <= STEPS.index(demo.share)
        leaves = not broken and random.Random(number * 13).random() < LEAVES
        content = BAD if broken else LONG if leaves else GOOD
        accepted = (await client.post(f"/v1/threads/{thread}/messages", json={"content": content})).json()
        run = {"user": user, "broken": broken, "left": leaves, "status": "open", **accepted}
        demo.runs.append(run)
        async with client.stream("GET", f"/v1/runs/{accepted['run_id']}/events") as response:
            async for frame in frames(response):
                if leaves and frame.event == "text.delta":
                    break
                if frame.event in TERMINAL:
                    run["status"] = frame.event
                    if broken and not demo.first_failure:
                        demo.first_failure = time.monotonic()


async def see_what_became_of_those_who_left(demo: Demo) -> None:
    """An answer that nobody watches has its end all the same: in the thread, for whoever comes back."""
    for run in [run for run in demo.runs if run["left"]]:
        token = mint(demo.mesh.home / "dev-key.json", user=run["user"], role="user", lifetime=600)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(
            base_url=demo.mesh.urls[0], headers=headers, timeout=httpx2.Timeout(30), trust_env=False
        ) as client:
            for _ in range(40):
                status = (await client.get(f"/v1/runs/{run['run_id']}")).json()["status"]
                if status in ENDED:
                    run["status"] = ENDED[status]
                    break
                await asyncio.sleep(0.25)


async def send_steadily(demo: Demo, stop: asyncio.Event) -> None:
    """Messages at a steady pace until told to stop; returns when all have ended."""
    number = 0
    async with asyncio.TaskGroup() as group:
        while not stop.is_set():
            group.create_task(answer(demo, number))
            number += 1
            await asyncio.sleep(1 / PER_SECOND)


async def look(demo: Demo, client: httpx2.AsyncClient) -> dict[str, Any]:
    """The rollout now; tells when the share has changed."""
    found: dict[str, Any] = (await client.get("/v1/admin/rollout", params={"window": 120})).json()
    if found["share"] != demo.share:
        demo.changed_at = time.monotonic()
        # The flag changes first and the guard's state after it: why, a moment later.
        await asyncio.sleep(0.2)
        found = (await client.get("/v1/admin/rollout", params={"window": 120})).json()
        demo.tell(f"{demo.share} % -> {found['share']} %  ({found['mode']}: {found['reason']})")
        demo.share = found["share"]
    return found


async def run(demo: Demo) -> list[str]:
    """The whole story; returns what was wrong with it."""
    admin = mint(demo.mesh.home / "dev-key.json", user="operator", role="admin", lifetime=3600)
    headers = {"authorization": f"Bearer {admin}"}
    stop = asyncio.Event()
    async with httpx2.AsyncClient(base_url=demo.mesh.urls[0], headers=headers, timeout=15, trust_env=False) as client:
        await client.put("/v1/admin/rollout", params={"why": "the demo begins"}, json={"action": "set", "share": 0})
        shadows = {"action": "shadow", "share": SHADOWS}
        await client.put("/v1/admin/rollout", params={"why": "compare before anybody is moved"}, json=shadows)
        scraping = asyncio.create_task(demo.scrapes.keep_scraping(demo.mesh.health_ports(), stop))
        sending = asyncio.create_task(send_steadily(demo, stop))
        await asyncio.sleep(3)
        demo.tell(f"everybody is on legacy_sync, {SHADOWS} % are repeated unseen by durable_event; the guard begins")
        await client.put("/v1/admin/rollout", params={"why": "walk"}, json={"action": "resume"})
        ends = time.monotonic() + LONGEST
        found: dict[str, Any] = {}
        while demo.share < 50 and time.monotonic() < ends:
            found = await look(demo, client)
            await asyncio.sleep(0.1)
        # Some good answers at this step as well, so that the comparison has something to compare.
        await asyncio.sleep(3.0)
        demo.broken_from = time.monotonic()
        demo.tell("the durable path breaks: its provider answers 400 from now on, and only there")
        while demo.share >= 50 and time.monotonic() < ends:
            found = await look(demo, client)
            await asyncio.sleep(0.05)
        back_at = demo.changed_at
        # Some more of what follows, for the picture.
        await asyncio.sleep(5)
        stop.set()
        await asyncio.gather(sending, scraping)
        await see_what_became_of_those_who_left(demo)
        await asyncio.sleep(1)
        found = await look(demo, client)
    lost = [run for run in demo.runs if run["status"] not in TERMINAL]
    wrong = [] if not lost else [f"{len(lost)} answers have no end"]
    whole = [run for run in demo.runs if not (run["broken"] or (run["left"] and run["path"] == LEGACY))]
    unfit = [run for run in whole if run["status"] != "run.completed"]
    wrong += [f"{len(unfit)} answers failed that should not have"] if unfit else []
    if [change["change"] for change in found["changes"]].count("rolled_back") != 1:
        wrong.append("going back is not told on AUDIT, or not once")
    if not found["shadows"]["compared"] or found["shadows"]["equal"] != found["shadows"]["compared"]:
        wrong.append("the shadows say something else than what was served")
    wrong += [] if demo.share == 25 else [f"the share is {demo.share} % and not 25 %"]
    seconds = back_at - demo.first_failure
    if demo.first_failure and seconds > 2 * INTERVAL + 0.5:
        wrong.append(f"going back took {seconds:.1f} s, more than two evaluations")
    demo.tell(f"back {seconds:.1f} s after the first failure; an evaluation is every {INTERVAL:.0f} s")
    failed = sum(run["status"] == "run.failed" for run in demo.runs)
    paths = {path: sum(run["path"] == path for run in demo.runs) for path in ("legacy_sync", "durable_event")}
    demo.tell(
        f"{len(demo.runs)} messages accepted, {paths}: {len(lost)} without an end, {failed} ended with the provider's error"
    )
    for path in (DURABLE, LEGACY):
        left = [run for run in demo.runs if run["left"] and run["path"] == path]
        survived = sum(run["status"] == "run.completed" for run in left)
        demo.tell(f"{survived} of {len(left)} answers of {path} were completed whose client went away")
    demo.told += ["", "    $ everthread rollout status --window 120", *(f"    {line}" for line in lines_of(found))]
    print("\n".join(lines_of(found)))
    return wrong


def main() -> int:
    """Run it; the exit code says whether all went as it should."""
    with UpstreamProcess() as upstream, tempfile.TemporaryDirectory(prefix="everthread-rollout-") as home:
        models = Path(home) / "models.toml"
        models.write_text(MODELS, "utf-8")
        mesh = mesh_module.start(
            Path(home),
            scale="gateway=2,inference=2",
            gateways=2,
            environment={
                "OPENAI_BASE_URL": upstream.base_url,
                "OPENAI_API_KEY": "sk-demo",
                "EVERTHREAD_MODELS_FILE": str(models),
                "EVERTHREAD_GUARD_INTERVAL": str(INTERVAL),
                "EVERTHREAD_GUARD_RUNS": "20",
                "EVERTHREAD_GUARD_STEP_SECONDS": "5",
                "EVERTHREAD_GUARD_COOL_DOWN": "600",
            },
        )
        demo = Demo(mesh, grouped(1500))
        try:
            wrong = asyncio.run(run(demo))
        finally:
            mesh.stop()
    PAGE.write_text(page(demo), "utf-8")
    PICTURE.write_text(picture(demo.scrapes), "utf-8")
    for sentence in wrong:
        print(f"not as it should be: {sentence}", file=sys.stderr)
    return 1 if wrong else 0


def page(demo: Demo) -> str:
    """What docs/rollout-demo.md shows."""
    story = "\n".join(line if line.startswith("    ") else f"    {line}".rstrip() for line in demo.told)
    return f"""# The rollout, seen

What `uv run task rollout-demo` printed: two gateways, two workers, {PER_SECOND:.0f} messages a second from users of every group, the
guard's minimums shortened (20 runs and 5 s a step, an evaluation every {INTERVAL:.0f} s). {LEAVES:.0%} of the clients close their tab in the
middle of a longer answer; of {SHADOWS} % of the users, what `legacy_sync` answers is repeated unseen by `durable_event`. At 50 % the
provider begins to refuse what the durable path asks, and only that.

{story}

What the processes showed at `/metrics` meanwhile, drawn as the dashboard `deploy/grafana/rollout.json` asks for it:

![The rollout's dashboard while the demo ran](rollout-demo.svg)
"""


if __name__ == "__main__":
    raise SystemExit(main())
