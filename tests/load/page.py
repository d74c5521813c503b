"""`task bench:page`: how the page bears a thread of 1,000 messages, in a real browser.

A mesh of its own with the scripted upstream; threads of several lengths are put into its database as conversation would have
stored them: questions of a line, answers of headings, lists, tables and code. Each is opened by its address and from another
chat, scrolled from its end to its beginning, and written in while an answer of 100 tokens a second comes. A browser profile of
its own each time; the medians go into docs/benchmarks.md.
"""

import argparse
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from contracts.parts import TextPart
from contracts.usage import Usage
from conversation.adapters.documents import message_document
from conversation.adapters.schema import MESSAGES, THREADS
from conversation.domain.entities import Message
from everthread.embedded import mongo_uri
from everthread.home import Home
from everthread.state import read_state
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from pymongo import MongoClient
from pymongo.synchronous.database import Database
from rich.console import Console
from store.database import DATABASE
from ulid import ULID

from tests import mesh as mesh_module
from tests.browser.conftest import ARGUMENTS, MODELS, WEB
from tests.browser.ensure import MISSING, find_chromium
from tests.browser.person import Person
from tests.load.bench import PAGE, quantile
from tests.mesh import Mesh
from tests.upstream import UpstreamProcess

BEGIN, END = "<!-- page figures: written by task bench:page -->", "<!-- end of page figures -->"
LENGTHS = (10, 100, 1000)
TYPED = "What would you say to that in one sentence?"
LAST = "the newest answer of all"
ANSWER = """## Point {number}

The keeper of lighthouse {number} wrote **twice a day**, and *never* on Sundays: `lamp[{number}]` was lit before {hour} o'clock.

1. First, the oil is measured, and what is left is written down.
2. Then the glass is cleaned, from the top to the bottom, with a dry cloth.
3. Last, the [log](https://example.org/{number}) is signed.

| day | oil | ships |
|---|---|---|
| 1 | {number} l | 3 |
| 2 | {hour} l | 7 |

```python
def oil(day: int, ships: int = {hour}) -> float:
    # A litre an hour, and one for each ship.
    return day * {number} + ships / 2
```

So much for the day; the night is another matter, and of that the other keepers know more than this one does.
"""

WATCH = """(() => {
  window.figures = { long: [], seen: 0, typed: [] };
  new PerformanceObserver((list) => { for (const task of list.getEntries()) figures.long.push(task.duration); })
    .observe({ type: "longtask", buffered: true });
  window.untilSeen = (text) => new Promise((resolve) => {
    const began = performance.now();
    const look = () => {
      const last = [...document.querySelectorAll(".message.assistant")].at(-1);
      const inView = last?.textContent.includes(text) && last.getBoundingClientRect().bottom > 0 && last.getBoundingClientRect().top < innerHeight;
      if (inView) resolve({ at: performance.now(), took: performance.now() - began });
      else requestAnimationFrame(look);
    };
    look();
  });
  addEventListener("keydown", (event) => {
    const at = event.timeStamp;
    requestAnimationFrame(() => setTimeout(() => figures.typed.push(performance.now() - at)));
  }, true);
})()"""
SCROLL = """async () => {
  const scroller = document.querySelector(".scroller");
  const frames = [];
  let blank = 0;
  scroller.dispatchEvent(new WheelEvent("wheel", { deltaY: -10 }));
  let before = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 400 && scroller.scrollTop > 0; n++) {
    scroller.scrollTop -= 240;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
    const box = scroller.getBoundingClientRect();
    // The list takes no pointer while it scrolls, so it is not asked what lies at a point.
    const middle = box.top + box.height / 2;
    const hit = [...document.querySelectorAll(".message")].some((message) => {
      const { top, bottom } = message.getBoundingClientRect();
      return top - 20 <= middle && middle <= bottom + 20;
    });
    if (!hit) blank += 1;
  }
  return { frames, blank };
}"""


@dataclass
class Figures:
    """Milliseconds, but for `heap` in MiB and `nodes`."""

    opened: list[float] = field(default_factory=list)
    switched: list[float] = field(default_factory=list)
    longest: list[float] = field(default_factory=list)
    frames: list[float] = field(default_factory=list)
    blank: list[float] = field(default_factory=list)
    typed: list[float] = field(default_factory=list)
    streaming: list[float] = field(default_factory=list)
    heap: list[float] = field(default_factory=list)
    nodes: list[float] = field(default_factory=list)


def fill(mesh: Mesh, person: Person, length: int) -> str:
    """A thread of so many messages; its id."""
    made = person.context.request.post(
        f"{mesh.urls[0]}/v1/threads", data={"title": f"{length} messages"}, headers={"origin": mesh.urls[0]}
    )
    thread: str = made.json()["id"]
    user: str = person.context.request.get(f"{mesh.urls[0]}/session").json()["user_id"]
    begun = datetime.now(UTC) - timedelta(seconds=length)
    messages: list[Message] = []
    for number in range(1, length + 1):
        mine = number % 2 == 1
        text = f"What of lighthouse {number}?" if mine else ANSWER.format(number=number, hour=number % 24)
        text = f"{text}\n{LAST}" if number == length else text
        messages.append(
            Message(
                id=f"msg_{ULID()}",
                thread_id=thread,
                user_id=user,
                position=number,
                role="user" if mine else "assistant",
                status="complete",
                created_at=begun + timedelta(seconds=number),
                content=text,
                parts=(TextPart(text=text),),
                model="" if mine else "openai:gpt-4o-mini",
                usage=None if mine else Usage(input_tokens=900, output_tokens=250),
                cost_microusd=None if mine else 285,
                run_id="" if mine else f"run_{ULID()}",
                parent_message_id=messages[-1].id if messages else "",
                sequence=0 if mine else 40,
            )
        )
    state = read_state(Home(mesh.home).state)
    assert state is not None
    port = next(part.port for part in state.parts if part.name == "mongo")
    client: MongoClient[dict[str, Any]]
    with MongoClient(mongo_uri(port)) as client:
        database: Database[dict[str, Any]] = client.get_default_database(DATABASE)
        database[MESSAGES].insert_many([message_document(message) for message in messages])
        database[THREADS].update_one({"_id": thread}, {"$set": {"length": length, "head": messages[-1].id}})
    return thread


def measure(mesh: Mesh, browser: Browser, thread: str, other: str, user: str, found: Figures) -> None:
    """One round in a fresh profile."""
    person = Person(browser, mesh.urls[0], user)
    person.page.close()
    person.context.add_init_script(WATCH)
    page = person.tab()
    session = person.context.new_cdp_session(page)
    # Signed in, and the parts of the page kept: opening a chat is what is measured.
    person.visit("/")
    person.composer.wait_for()
    person.visit(f"/t/{thread}")
    found.opened.append(page.evaluate("(text) => untilSeen(text)", LAST)["at"])
    page.wait_for_timeout(500)
    found.longest.append(max([*page.evaluate("figures.long"), 0]))
    person.visit(f"/t/{other}")
    page.evaluate("(text) => untilSeen(text)", LAST)
    page.wait_for_timeout(500)
    row = page.locator(f"[data-thread={thread}] a")
    row.wait_for()
    found.switched.append(
        page.evaluate(
            """async ([thread, text]) => {
              document.querySelector(`[data-thread=${thread}] a`).click();
              await new Promise((done) => { const look = () => document.querySelector(`[data-message]`)?.closest(".scroller") && location.pathname.endsWith(thread) ? done() : requestAnimationFrame(look); look(); });
              return (await untilSeen(text)).took;
            }""",
            [thread, LAST],
        )
    )
    page.wait_for_timeout(300)
    scrolled = page.evaluate(SCROLL)
    found.frames += scrolled["frames"]
    found.blank.append(100 * scrolled["blank"] / max(1, len(scrolled["frames"])))
    found.heap.append(heap(session))
    found.nodes.append(page.evaluate("document.querySelectorAll('*').length"))
    type_while_streaming(person, page, found)
    person.context.close()


def type_while_streaming(person: Person, page: Page, found: Figures) -> None:
    """Keys pressed while an answer of 100 tokens a second comes."""
    person.send("tokens=1200 rate=100 seed=7")
    person.sees(" ")
    page.evaluate("figures.typed = []; figures.long = []")
    began = page.evaluate("performance.now()")
    person.composer.press_sequentially(TYPED, delay=70)
    page.wait_for_timeout(200)
    found.typed += page.evaluate("figures.typed")
    busy = sum(page.evaluate("figures.long"))
    found.streaming.append(100 * busy / (page.evaluate("performance.now()") - began))
    person.composer.fill("")
    page.get_by_role("button", name="Stop", exact=True).click()
    person.ended("cancelled")


def heap(session: CDPSession) -> float:
    """JavaScript's heap after a collection, in MiB."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 2**20


def report(found: dict[int, Figures], rounds: int, load: float) -> str:
    """The figures as the table of docs/benchmarks.md."""

    def middle(values: Sequence[float]) -> str:
        return f"{statistics.median(values):.0f} ms"

    def spread(values: Sequence[float]) -> str:
        return f"p50 {quantile(values, 0.5):.0f}, p95 {quantile(values, 0.95):.0f}, worst {max(values):.0f} ms"

    rows: list[tuple[str, Callable[[Figures], str], str]] = [
        ("**address opened → newest answer seen**", lambda f: middle(f.opened), "≤ 1,000 ms"),
        ("chosen in the list → newest answer seen", lambda f: middle(f.switched), "≤ 500 ms"),
        ("longest task while it opens", lambda f: middle(f.longest), "≤ 200 ms"),
        ("**a frame while scrolling from end to beginning**", lambda f: spread(f.frames), "p95 ≤ 33 ms"),
        ("frames with nothing in the middle of the screen", lambda f: f"{statistics.mean(f.blank):.1f} %", "0 %"),
        ("**key pressed → on the screen, an answer coming**", lambda f: spread(f.typed), "p95 ≤ 50 ms"),
        ("time in tasks over 50 ms, an answer coming", lambda f: f"{statistics.mean(f.streaming):.1f} %", "≤ 5 %"),
        ("JavaScript's heap", lambda f: f"{statistics.median(f.heap):.0f} MiB", "≤ 50 MiB"),
        ("elements in the document", lambda f: f"{statistics.median(f.nodes):.0f}", "≤ 3,000"),
    ]
    lines = [
        f"Machine: {platform.system()}, Python {platform.python_version()}, {os.cpu_count()} cores with a load of {load:.0f} from"
        f" other work. Command: `uv run task bench:page -- --rounds {rounds}`.",
        "",
        "| what | " + " | ".join(f"{length:,} messages" for length in found) + " | goal |",
        "|---" * (len(found) + 2) + "|",
    ]
    lines += [
        f"| {what} | " + " | ".join(cell(f) for f in found.values()) + f" | {goal} |" for what, cell, goal in rows
    ]
    return "\n".join(lines)


def run(rounds: int) -> str:
    """Measure threads of each length."""
    executable = find_chromium()
    if executable is None:
        raise SystemExit(MISSING)
    found = {length: Figures() for length in LENGTHS}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="everthread-page-") as folder, UpstreamProcess() as upstream:
        models = Path(folder) / "models.toml"
        models.write_text(MODELS, "utf-8")
        environment = {
            "OPENAI_BASE_URL": upstream.base_url,
            "OPENAI_API_KEY": "none",
            "EVERTHREAD_MODELS_FILE": str(models),
            "EVERTHREAD_PAGE_FOLDER": str(WEB / "dist"),
        }
        mesh = mesh_module.start(Path(folder) / "mesh", environment=environment)
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
                for length, figures in found.items():
                    for number in range(rounds):
                        # A user each time: threads grow by what is asked in them.
                        user = f"reader-{length}-{number}"
                        person = Person(browser, mesh.urls[0], user)
                        person.visit("/")
                        person.composer.wait_for()
                        thread, other = fill(mesh, person, length), fill(mesh, person, 10)
                        person.context.close()
                        measure(mesh, browser, thread, other, user, figures)
                browser.close()
        finally:
            mesh.stop()
    return report(found, rounds, load)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 21), metavar="1..20")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    arguments = parser.parse_args()
    text = run(arguments.rounds)
    Console().print(text, markup=False, soft_wrap=True)
    if not arguments.no_write:
        page = PAGE.read_text("utf-8")
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}", "utf-8")


if __name__ == "__main__":
    main()
