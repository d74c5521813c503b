"""`everthread backup`, `restore`, `status` and `loadtest` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from everthread.commands import HomeOption

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
    nats_url: NatsOption = None,
    mongodb_uri: MongoOption = None,
    home: HomeOption = None,
) -> None:
    """Put a backup into an empty home, or into an empty broker and database. Nothing is ever overwritten."""
    from everthread.home import resolve_home
    from everthread.restore import run_restore

    raise typer.Exit(run_restore(resolve_home(home), source, nats_url=nats_url, mongodb_uri=mongodb_uri))
