"""`everthread demo ...` on the command line: what durable means, shown on this machine."""

from typing import Annotated

import typer

from everthread.commands import HomeOption

app = typer.Typer(name="demo", help="Show on this machine what durable means.", rich_markup_mode=None)


@app.callback()
def demo() -> None:
    """Show on this machine what durable means."""


@app.command()
def chaos(
    runs: Annotated[int, typer.Option(help="How many conversations in all, 50 at most.")] = 6,
    at_once: Annotated[int, typer.Option(help="How many go on at the same time.")] = 3,
    kills: Annotated[int, typer.Option(help="How many processes are killed, 100 at most.")] = 8,
    seconds: Annotated[float, typer.Option(help="After which nothing is killed any more, 600 at most.")] = 60.0,
    kill: Annotated[
        str, typer.Option(metavar="KIND,...", help="What may be killed.")
    ] = "inference,gateway,conversation,nats",
    seed: Annotated[
        int | None, typer.Option(help="Draw the same victims again.", show_default="another each time")
    ] = None,
    text: Annotated[
        str, typer.Option(help="What is said in each.")
    ] = "What is a lighthouse for? Answer in two sentences.",
    model: Annotated[str | None, typer.Option(metavar="PROVIDER:NAME", help="The model that answers.")] = None,
    user: Annotated[str, typer.Option(help="Who talks, under the development key.")] = "chaos",
    home: HomeOption = None,
) -> None:
    """Talk to the mesh that `everthread up` runs in this home while its processes are killed at random. Nothing else is ever
    killed: no process of another home, none on another machine. Exit code 0 when every answer is whole and stored as shown."""
    import secrets

    from everthread.chaos import Chaos, run_chaos
    from everthread.home import resolve_home

    wanted = Chaos(
        runs=runs,
        at_once=at_once,
        kills=kills,
        seconds=seconds,
        kinds=tuple(kind.strip() for kind in kill.split(",") if kind.strip()),
        seed=secrets.randbelow(10_000) if seed is None else seed,
        text=text,
        model=model,
        user=user,
    )
    raise typer.Exit(run_chaos(resolve_home(home), wanted))
