"""The commands. Each imports what it needs when it runs: `ps` shall answer at once."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="everthread",
    help="Run Everthread on this machine and talk to it: answers that outlive their tab.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        envvar="EVERTHREAD_HOME",
        metavar="DIR",
        show_default=".everthread in the current directory",
        help="Where data, keys and logs are.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"everthread {version('everthread')}")
        raise typer.Exit


@app.callback()
def everthread(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run Everthread on this machine and talk to it: answers that outlive their tab."""


@app.command()
def up(
    port: Annotated[int, typer.Option(help="HTTP port of the first gateway; further ones take the next ports.")] = 8080,
    home: HomeOption = None,
    scale: Annotated[str, typer.Option(metavar="SERVICE=N,...", help="Such as gateway=2,inference=2.")] = "",
    model: Annotated[bool, typer.Option("--model/--no-model", help="Run the embedded model.")] = True,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Build and serve the page for browsers.")] = True,
    demo: Annotated[bool, typer.Option("--demo", help="The page may kill workers, to show what happens then.")] = False,
) -> None:
    """Start everything and keep it running until Ctrl-C or SIGTERM."""
    from everthread.home import resolve_home
    from everthread.scale import parse_scale
    from everthread.up import run_up

    counts = parse_scale(scale)
    raise typer.Exit(run_up(resolve_home(home), port=port, counts=counts, with_model=model, with_page=page, demo=demo))


@app.command()
def ps(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what runs: name, process, port, state."""
    from everthread.home import resolve_home
    from everthread.ps import show

    raise typer.Exit(show(resolve_home(home), as_json=as_json))


@app.command()
def token(
    user: Annotated[str, typer.Option(help="Whom the token is for (its `sub`).")],
    role: Annotated[str, typer.Option(help="user or admin.")] = "user",
    ttl: Annotated[str, typer.Option(help="How long it is valid: 90s, 15m, 12h, 7d.")] = "12h",
    home: HomeOption = None,
) -> None:
    """Print a development token, and nothing else."""
    from everthread.home import resolve_home
    from everthread.keys import development_token

    typer.echo(development_token(resolve_home(home), user=user, role=role, ttl=ttl))


@app.command("nats-url")
def nats_url(
    user: Annotated[str, typer.Option(help="The broker's user; app is for internal services.")] = "app",
    home: HomeOption = None,
) -> None:
    """Print the address of this machine's broker for a service of yours, password included, and nothing else."""
    from everthread.broker import address_of
    from everthread.home import resolve_home

    typer.echo(address_of(resolve_home(home), user))


@app.command()
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Look for what is wrong, and say what to do. Exit code 1 when something is."""
    from everthread.doctor import examine
    from everthread.home import resolve_home

    raise typer.Exit(examine(resolve_home(home), as_json=as_json))


@app.command()
def trace(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id: run_...")],
    user: Annotated[str, typer.Option(help="Whose run it is, under the development key.")] = "demo",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A bearer token, where an identity provider is used.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where one answer spent its time: accepted, published, claimed, first text, steps, end."""
    from everthread.home import resolve_home
    from everthread.trace import read_token, show_trace

    raise typer.Exit(show_trace(resolve_home(home), run, user=user, token=read_token(token_file), as_json=as_json))


@app.command()
def chat(
    resume: Annotated[bool, typer.Option("--resume", help="Pick up the answer that runs, or the last one.")] = False,
    once: Annotated[str | None, typer.Option(metavar="TEXT", help="Send one message, print the answer, leave.")] = None,
    thread: Annotated[str | None, typer.Option(metavar="ID", help="Go on in this thread.")] = None,
    model: Annotated[str | None, typer.Option(metavar="PROVIDER:NAME", help="The model that answers.")] = None,
    user: Annotated[str, typer.Option(help="Who you are, under the development key.")] = "demo",
    stop: Annotated[bool, typer.Option("--stop", help="Stop the answer that was left running.")] = False,
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A bearer token, where an identity provider is used.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Talk in the terminal. Ctrl-C leaves the answer running; `chat --resume` picks it up again."""
    from everthread.chat import ChatOptions, run_chat
    from everthread.home import resolve_home

    options = ChatOptions(
        resume=resume, stop=stop, once=once, thread=thread, model=model, user=user, token_file=token_file
    )
    raise typer.Exit(run_chat(resolve_home(home), options))
