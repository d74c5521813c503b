"""`everthread topology …` on the command line."""

from typing import Annotated

import typer

from everthread.commands import HomeOption, JsonOption

app = typer.Typer(
    name="topology",
    help="Compare the broker's streams and consumers with this version's, and make them match.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
NatsOption = Annotated[
    str | None,
    typer.Option("--nats-url", envvar="NATS_URL", metavar="URL", help="A broker other than the home's, as admin."),
]
ReplicasOption = Annotated[
    int,
    typer.Option(
        envvar="EVERTHREAD_STREAM_REPLICAS",
        min=1,
        max=5,
        help="On how many servers each stream is kept; as the services have it.",
    ),
]


@app.command()
def diff(
    nats_url: NatsOption = None, replicas: ReplicasOption = 1, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Show what `apply` would change. Exit code 1 when there is something."""
    from everthread.home import resolve_home
    from everthread.topology import show_differences

    raise typer.Exit(show_differences(resolve_home(home), nats_url, replicas=replicas, as_json=as_json))


@app.command()
def apply(
    nats_url: NatsOption = None, replicas: ReplicasOption = 1, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Make streams and consumers what this version wants; nothing is deleted."""
    from everthread.home import resolve_home
    from everthread.topology import apply_topology

    raise typer.Exit(apply_topology(resolve_home(home), nats_url, replicas=replicas, as_json=as_json))
