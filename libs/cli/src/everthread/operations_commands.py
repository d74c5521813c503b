"""`everthread backup`, `restore`, `status` and `loadtest` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from everthread.commands import HomeOption, JsonOption

app = typer.Typer(rich_markup_mode=None)

NatsOption = Annotated[
    str | None,
    typer.Option("--nats-url", envvar="NATS_URL", metavar="URL", help="A broker other than the home's, as admin."),
]
MongoOption = Annotated[
    str | None,
    typer.Option("--mongodb-uri", envvar="MONGODB_URI", metavar="URI", help="A database other than the home's."),
]


@app.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to; it must not be there yet.")],
    nats_url: NatsOption = None,
    mongodb_uri: MongoOption = None,
    home: HomeOption = None,
) -> None:
    """Copy MongoDB and every stream into a folder, while the mesh runs or while it is stopped."""
    from everthread.backup import run_backup
    from everthread.home import resolve_home

    raise typer.Exit(run_backup(resolve_home(home), target, nats_url=nats_url, mongodb_uri=mongodb_uri))


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `everthread backup` wrote.")],
    thread: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this thread, which was deleted, into what runs now.")
    ] = None,
    nats_url: NatsOption = None,
    mongodb_uri: MongoOption = None,
    home: HomeOption = None,
) -> None:
    """Put a backup into an empty home, or into an empty broker and database. Nothing is ever overwritten."""
    from everthread.home import resolve_home
    from everthread.restore import run_restore
    from everthread.restore_thread import run_restore_thread

    if thread is not None:
        code = run_restore_thread(resolve_home(home), source, thread, nats_url=nats_url, mongodb_uri=mongodb_uri)
        raise typer.Exit(code)
    raise typer.Exit(run_restore(resolve_home(home), source, nats_url=nats_url, mongodb_uri=mongodb_uri))


@app.command()
def status(
    nats_url: NatsOption = None,
    mongodb_uri: MongoOption = None,
    user: Annotated[str, typer.Option(help="Who asks for the rollout, under the development key.")] = "operator",
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An administrator's bearer token, where an identity provider is used."),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show on one screen how services, broker, lag, database, providers and rollout are. Exit code 1 when one is not well."""
    from everthread.home import resolve_home
    from everthread.rollout import As
    from everthread.status import Elsewhere, show_status

    elsewhere = Elsewhere(nats_url=nats_url, mongodb_uri=mongodb_uri)
    raise typer.Exit(show_status(resolve_home(home), elsewhere, As(user=user, token_file=token_file), as_json=as_json))


@app.command()
def loadtest(
    url: Annotated[
        list[str] | None, typer.Argument(metavar="[URL]...", help="Gateways; without one, those of the running mesh.")
    ] = None,
    messages: Annotated[int, typer.Option(help="How many are sent in all, 10000 at most.")] = 50,
    at_once: Annotated[int, typer.Option(help="How many are under way at the same time, 500 at most.")] = 5,
    seconds: Annotated[float, typer.Option(help="After which it ends in any case, 3600 at most.")] = 60.0,
    text: Annotated[str, typer.Option(help="What is sent.")] = "Say hello in one sentence.",
    model: Annotated[str | None, typer.Option(metavar="PROVIDER:NAME", help="The model that answers.")] = None,
    user: Annotated[str, typer.Option(help="Who sends, under the development key.")] = "loadtest",
    token_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A bearer token, where an identity provider is used.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Send a bounded number of messages, watch every answer to its end, and print how long it took. It costs what answers cost."""
    from everthread.home import resolve_home
    from everthread.loadtest import Load, run_load
    from everthread.loadtest_target import target_of

    load = Load(messages=messages, at_once=at_once, seconds=seconds, text=text, model=model)
    urls, token = target_of(resolve_home(home), url or [], user=user, token_file=token_file)
    raise typer.Exit(run_load(urls, token, load))
