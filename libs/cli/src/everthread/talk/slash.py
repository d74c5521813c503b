"""The commands that begin with a slash: what each is called, takes and does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from contracts.ids import THREAD, InvalidIdError, check_id
from everthread_client.answers import Accepted, Branch, Message

from everthread.screen import printable, shortened
from everthread.talk.following import WATCHES, Following

_STORED_SOON: Final = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0)
"""Seconds between looks at whether an answer that has ended is stored."""


class SlashError(Exception):
    """The command cannot be carried out; the text is one sentence for the person."""


@dataclass(kw_only=True)
class Choice:
    """Who answers the next message; None: as the thread says."""

    model: str | None = None
    agent: str | None = None


@dataclass(frozen=True, kw_only=True)
class Slash:
    """One command. `writes`: a viewer may not use it. It is handed what stands after its name."""

    usage: str
    help: str
    writes: bool
    carry_out: Callable[[Following, Choice, str], Awaitable[None]]


async def carry_out(here: Following, choice: Choice, line: str) -> None:
    """Carry out a line that begins with a slash. Raises SlashError, and what the client raises."""
    name, _, rest = line.strip().partition(" ")
    command = COMMANDS.get(name) or COMMANDS.get(_SHORT.get(name, ""))
    if command is None:
        raise SlashError(f"there is no {name}; /help lists the commands")
    if command.writes and here.thread is not None and here.thread.role == "viewer":
        raise SlashError(WATCHES)
    await command.carry_out(here, choice, rest.strip())


async def _help(here: Following, choice: Choice, rest: str) -> None:
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"{command.usage.ljust(width)}  {command.help}" for command in COMMANDS.values()]
    lines += [
        f"{'Ctrl-C, Ctrl-D'.ljust(width)}  leave; what runs goes on, and `chat --resume` comes back to it",
        f"{'Alt-Enter'.ljust(width)}  a new line in the message",
        "While an answer goes on, a message waits for its turn, unless the thread says otherwise.",
    ]
    here.transcript.aside("\n".join(lines))


async def _new(here: Following, choice: Choice, rest: str) -> None:
    await here.leave()
    here.transcript.aside("The next message begins a new thread.")


async def _threads(here: Following, choice: Choice, rest: str) -> None:
    for thread in await here.client.threads.newest():
        mark = "*" if here.thread is not None and thread.id == here.thread.id else " "
        unread = f" · {thread.unread} unread" if thread.unread else ""
        shared = f" · {thread.role}, {thread.members} in it" if thread.members > 1 else ""
        here.transcript.aside(f"{mark} {thread.id}  {printable(thread.title) or 'untitled'}{shared}{unread}")


async def _open(here: Following, choice: Choice, rest: str) -> None:
    if not rest:
        raise SlashError("say which: /open THREAD, as /threads lists them")
    try:
        check_id(THREAD, rest)
    except InvalidIdError:
        raise SlashError(f"{printable(rest)[:40]!r} is no thread's id; /threads lists yours") from None
    await here.enter(rest)


async def _join(here: Following, choice: Choice, rest: str) -> None:
    if not rest:
        raise SlashError("give the invitation's token: /join TOKEN")
    found = await here.client.threads.preview(rest)
    already = f" You are in it already, as {found.own_role}." if found.own_role else ""
    here.transcript.aside(
        f"An invitation to “{shortened(found.title) or 'untitled'}”, as {found.role}, from "
        f"{here.people.name(found.invited_by)}; it holds until {found.expires_at}.{already}"
    )

    async def come_in() -> None:
        await here.enter(await here.client.threads.accept(rest))

    here.waits.confirm("join? [y/n] ", come_in, otherwise="You have not joined; the invitation holds as before.")


async def _stop(here: Following, choice: Choice, rest: str) -> None:
    running = here.running()
    if not running:
        raise SlashError("nothing runs here")
    # What only waits for its turn is begun then, and can be stopped then.
    begun = [run_id for run_id in running if here.runs[run_id].state != "queued"]
    for run_id in begun or running:
        here.runs[run_id].stopping = await here.client.cancel(run_id)


async def _steer(here: Following, choice: Choice, rest: str) -> None:
    running = here.running()
    if not running:
        raise SlashError("nothing runs that it could join; send it as a message")
    if not rest:
        raise SlashError("say what the answer shall take into account: /steer TEXT")
    async with here.ordered:
        here.accepted(await here.client.steer(running[0], rest), rest)


async def _queue(here: Following, choice: Choice, rest: str) -> None:
    await _send(here, choice, rest, "enqueue")


async def _interrupt(here: Following, choice: Choice, rest: str) -> None:
    await _send(here, choice, rest, "interrupt")


async def _send(here: Following, choice: Choice, rest: str, on_busy: str) -> None:
    if not rest:
        raise SlashError("the message is empty")
    await here.send(rest, model=choice.model, agent=choice.agent, on_busy=on_busy)


async def _edit(here: Following, choice: Choice, rest: str) -> None:
    asked = [message for message in await _branch(here) if message.role == "user"]
    first, _, text = rest.partition(" ")
    number = int(first) if first.isdecimal() and text else len(asked)
    content = text if first.isdecimal() and text else rest
    if not content or not 0 < number <= len(asked):
        raise SlashError("/edit TEXT says the last message anew, /edit N TEXT the Nth of this branch")
    async with here.ordered:
        accepted = await here.client.threads.edit(here.current().id, asked[number - 1].id, content)
        here.accepted(accepted, content)
    await _named(here, accepted)


async def _again(here: Following, choice: Choice, rest: str) -> None:
    answers = [message for message in await _branch(here) if message.role == "assistant"]
    if not answers:
        raise SlashError("there is no answer yet")
    async with here.ordered:
        accepted = await here.client.threads.regenerate(here.current().id, answers[-1].id)
        here.last_run = accepted.run_id
    await _named(here, accepted)


async def _named(here: Following, accepted: Accepted) -> None:
    here.transcript.aside(f"[on a branch of its own, {accepted.message_id}; /branches lists them]")


async def _branches(here: Following, choice: Choice, rest: str) -> None:
    for number, branch in enumerate(await here.client.threads.branches(here.current().id), 1):
        here.transcript.aside(_branch_line(number, branch))


def _branch_line(number: int, branch: Branch) -> str:
    named = f" {printable(branch.label)}" if branch.label else ""
    return f"{'*' if branch.active else ' '} {number}{named}: {branch.length} messages, to {branch.head}"


async def _switch(here: Following, choice: Choice, rest: str) -> None:
    branches = await here.client.threads.branches(here.current().id)
    if not rest.isdecimal() or not 0 < int(rest) <= len(branches):
        raise SlashError(f"say which: /switch 1 to /switch {len(branches)}, as /branches lists them")
    here.thread = await here.client.threads.switch(here.current().id, branches[int(rest) - 1].head)
    await here.retell()


async def _sources(here: Following, choice: Choice, rest: str) -> None:
    found = 0
    for message in await _branch(here):
        for part in message.parts:
            if part.get("type") == "source":
                found += 1
                place = f" {printable(str(part['url']))}" if part.get("url") else ""
                here.transcript.aside(f"{found} {printable(str(part.get('title', '')))}{place}")
                if part.get("quote"):
                    here.transcript.aside(f"  {shortened(str(part['quote']))}")
    if not found:
        here.transcript.aside("No answer of this branch rests on sources.")


async def _status(here: Following, choice: Choice, rest: str) -> None:
    if not here.last_run:
        raise SlashError("nothing ran here yet")
    run = await here.client.run(here.last_run)
    cost = "unknown" if run["cost_microusd"] is None else f"{run['cost_microusd'] / 1_000_000:.6f} USD"
    used = run["usage"] or {}
    here.transcript.aside(
        f"{run['id']}: {run['status']}, {run['model']} on {run['path']}, attempt {run['attempts']}, "
        f"{run['sequence']} events, {used.get('input_tokens', 0)} tokens in, {used.get('output_tokens', 0)} out, cost {cost}"
    )


async def _verify(here: Following, choice: Choice, rest: str) -> None:
    if not here.last_run:
        raise SlashError("nothing ran here yet")
    standing = here.runs.get(here.last_run)
    found = await here.client.verify(here.last_run)
    for pause in _STORED_SOON if standing is None or standing.ended else ():
        if found["equal"] is not None:
            break
        # An answer is shown from the log a moment before it is stored.
        await asyncio.sleep(pause)
        found = await here.client.verify(here.last_run)
    said = {True: "what was shown is what is stored", False: "log and stored message differ"}.get(
        found["equal"], f"nothing to compare yet: {printable(str(found['reason']))}"
    )
    here.transcript.aside(f"{here.last_run}: {said} ({found['sequence']} events)")


async def _who(here: Following, choice: Choice, rest: str) -> None:
    for member in await here.client.threads.members(here.current().id):
        there = " · here now" if here.is_present(member.user_id) else ""
        here.transcript.aside(f"{member.role}: {here.people.name(member.user_id)} {member.user_id}{there}")


async def _invite(here: Following, choice: Choice, rest: str) -> None:
    role = rest or "editor"
    if role not in ("editor", "viewer"):
        raise SlashError("/invite editor or /invite viewer")
    token = await here.client.threads.invite(here.current().id, role)
    here.transcript.aside(f"For one {role}, for a day; they type: /join {token}")


async def _model(here: Following, choice: Choice, rest: str) -> None:
    choice.model = rest or None
    here.transcript.aside(f"Messages are answered by {rest or 'the model of the thread'} from now on.")


async def _agent(here: Following, choice: Choice, rest: str) -> None:
    if not rest:
        for agent in await here.client.agents():
            here.transcript.aside(f"{printable(agent['id'])}: {printable(agent['description'])}")
        choice.agent = None
        here.transcript.aside("The thread's agent answers; /agent NAME chooses another.")
        return
    choice.agent = rest
    here.transcript.aside(f"Messages are answered by {printable(rest)} from now on.")


def _slash(
    usage: str, text: str, handler: Callable[[Following, Choice, str], Awaitable[None]], *, writes: bool = False
) -> tuple[str, Slash]:
    return usage.split()[0], Slash(usage=usage, help=text, writes=writes, carry_out=handler)


async def _branch(here: Following) -> list[Message]:
    return await here.client.threads.messages(here.current().id, "active")


COMMANDS: Final[dict[str, Slash]] = dict(
    [
        _slash("/help", "this list", _help),
        _slash("/stop", "stop what runs here; what was written stays", _stop, writes=True),
        _slash("/steer TEXT", "a word that joins the answer which goes on", _steer, writes=True),
        _slash("/queue TEXT", "a message that is answered after what runs now", _queue, writes=True),
        _slash("/interrupt TEXT", "a message in the place of what runs now", _interrupt, writes=True),
        _slash("/edit [N] TEXT", "say the last, or the Nth, message anew, on a branch", _edit, writes=True),
        _slash("/again", "have the last answer made anew, on a branch", _again, writes=True),
        _slash("/branches", "the branches of this thread", _branches),
        _slash("/switch N", "go on with another branch", _switch, writes=True),
        _slash("/sources", "what the answers of this branch rest on", _sources),
        _slash("/agent [NAME]", "who answers: list the agents, or choose one", _agent),
        _slash("/model [ID]", "the model that answers", _model),
        _slash("/status", "the last run in figures", _status),
        _slash("/verify", "whether the last answer is stored as it was shown", _verify),
        _slash("/threads", "your threads, and what is unread", _threads),
        _slash("/open THREAD", "go into a thread", _open),
        _slash("/new", "begin another thread", _new),
        _slash("/who", "who is in this thread, and who is here", _who),
        _slash("/invite [ROLE]", "let one other person in, as editor or viewer", _invite),
        _slash("/join TOKEN", "what an invitation is, and come in by it", _join),
    ]
)
_SHORT: Final = {"/?": "/help", "/h": "/help", "/regenerate": "/again"}
LEAVING: Final = ("/quit", "/exit", "/detach")
