"""`python -m notifier`."""

from runtime.process import run
from runtime.settings import load_settings

from notifier.bootstrap import serve
from notifier.settings import NotifierSettings


def main() -> None:
    """Read the settings, run until a signal."""
    settings = load_settings(NotifierSettings)
    run("notifier", settings, lambda process: serve(process, settings))


if __name__ == "__main__":
    main()
