"""`everthread` on the command line, and `python -m everthread`."""

import sys

from everthread.errors import EXIT_INTERRUPTED, RefusedError


def main() -> None:
    """Run the command that the arguments name. Refusals are one sentence on stderr and an exit code, never a traceback."""
    try:
        from everthread.commands import app
        from everthread.demo_commands import app as demo
        from everthread.operations_commands import app as operations
        from everthread.rollout_commands import app as rollout
        from everthread.run_commands import letters
        from everthread.topology_commands import app as topology

        app.add_typer(rollout)
        app.add_typer(topology)
        app.add_typer(operations)
        app.add_typer(letters)
        app.add_typer(demo)
        app(prog_name="everthread")
    except RefusedError as error:
        print(f"everthread: {error}.", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except BrokenPipeError:
        # The reader has left, as `head` does. Python would complain again when it flushes at exit.
        sys.stderr.close()
        raise SystemExit(0) from None


if __name__ == "__main__":
    main()
