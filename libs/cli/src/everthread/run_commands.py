"""`everthread runs`, `tail`, `replay` and `dead-letters` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from everthread.commands import HomeOption, JsonOption, app

UserOption = Annotated[str, typer.Option(help="Whose runs they are, under the development key.")]
TokenOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="A bearer token, where an identity provider is used.")
]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run's id: run_...")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--nats-url", metavar="URL", help="A broker of yours, as its administrator.", show_default="the mesh's"
    ),
]

letters = typer.Typer(
    name="dead-letters",
    help="Deliveries that could not be handled: list them, send one again.",
    invoke_without_command=True,
    rich_markup_mode=None,
)


@app.command()
def runs(
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    user: UserOption = "demo",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest runs of the last week: when, how they are, what they cost."""
    from everthread.home import resolve_home
    from everthread.runs import Caller, show_runs

    caller = Caller(user=user, token_file=token_file)
    raise typer.Exit(show_runs(resolve_home(home), caller, limit=limit, as_json=as_json))


@app.command()
def tail(
    run: RunArgument,
    user: UserOption = "demo",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Show a run from its beginning and follow it to its end."""
    from everthread.home import resolve_home
    from everthread.runs import Caller, tail_run

    caller = Caller(user=user, token_file=token_file)
    raise typer.Exit(tail_run(resolve_home(home), run, caller, as_json=as_json))


@app.command()
def replay(
    run: RunArgument,
    speed: Annotated[float, typer.Option(help="How many times faster than it was; 0 for no pauses.")] = 1.0,
    user: UserOption = "demo",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
) -> None:
    """Show a run that has ended once more, as it came, without the model."""
    from everthread.home import resolve_home
    from everthread.runs import Caller, replay_run

    caller = Caller(user=user, token_file=token_file)
    raise typer.Exit(replay_run(resolve_home(home), run, caller, speed=speed, as_json=as_json))


@letters.callback()
def dead_letters(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest.")] = 50,
    nats_url: UrlOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deliveries that could not be handled: list them, send one again."""
    if context.invoked_subcommand is None:
        from everthread.dead_letters import show_letters

        raise typer.Exit(show_letters(_address(nats_url, home), limit=limit, as_json=as_json))


@letters.command()
def retry(
    id: Annotated[int, typer.Argument(metavar="ID", help="As `everthread dead-letters` lists it.")],
    nats_url: UrlOption = None,
    home: HomeOption = None,
) -> None:
    """Publish a dead letter again where it came from, and take it away."""
    from everthread.dead_letters import retry_letter

    raise typer.Exit(retry_letter(_address(nats_url, home), id))


def _address(nats_url: str | None, home: Path | None) -> str:
    from everthread.broker import address_of
    from everthread.home import resolve_home

    return nats_url or address_of(resolve_home(home), "admin")
