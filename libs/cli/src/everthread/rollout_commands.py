"""`everthread rollout …` on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from everthread.commands import HomeOption, JsonOption

app = typer.Typer(
    name="rollout",
    help="Give the durable path to more users, watch how it does, take it back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
UserOption = Annotated[str, typer.Option(help="Who you are, under the development key.")]
TokenOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="An administrator's bearer token, where an identity provider is used."),
]
WhyOption = Annotated[str, typer.Option("--why", help="Kept with the change, for whoever asks later.")]


@app.command()
def status(
    window: Annotated[int, typer.Option(metavar="SECONDS", help="Runs accepted in so many seconds up to now.")] = 3600,
    user: UserOption = "operator",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where the rollout is, and both paths side by side."""
    from everthread.home import resolve_home
    from everthread.rollout import As, show_rollout

    who = As(user=user, token_file=token_file)
    raise typer.Exit(show_rollout(resolve_home(home), who, window=window, as_json=as_json))


@app.command(name="set")
def set_share(
    share: Annotated[int, typer.Argument(metavar="PERCENT", min=0, max=100, help="Of the users, on the durable path.")],
    why: WhyOption = "set by hand",
    user: UserOption = "operator",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give the durable path to so many percent of the users, and pause the guard."""
    _steer("set", share, why, user, token_file, home, as_json)


@app.command(name="shadow")
def set_shadows(
    share: Annotated[int, typer.Argument(metavar="PERCENT", min=0, max=100, help="Of the users.")],
    why: WhyOption = "set by hand",
    user: UserOption = "operator",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the durable path repeat unseen what legacy_sync answers to so many percent of the users; 0 ends it."""
    _steer("shadow", share, why, user, token_file, home, as_json)


@app.command()
def pause(
    why: WhyOption = "paused by hand",
    user: UserOption = "operator",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Leave the share as it is; the guard neither goes on nor back."""
    _steer("pause", None, why, user, token_file, home, as_json)


@app.command()
def resume(
    why: WhyOption = "resumed by hand",
    user: UserOption = "operator",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the guard go on from the share there is: 1, 5, 25, 50, 100 percent, or back."""
    _steer("resume", None, why, user, token_file, home, as_json)


@app.command()
def kill(
    why: WhyOption = "killed by hand",
    user: UserOption = "operator",
    token_file: TokenOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put everybody on legacy_sync at once. Answers that run now end where they began."""
    _steer("kill", None, why, user, token_file, home, as_json)


def _steer(
    action: str, share: int | None, why: str, user: str, token_file: Path | None, home: Path | None, as_json: bool
) -> None:
    from everthread.home import resolve_home
    from everthread.rollout import As, steer_rollout

    who = As(user=user, token_file=token_file)
    raise typer.Exit(steer_rollout(resolve_home(home), who, action, share=share, why=why, as_json=as_json))
