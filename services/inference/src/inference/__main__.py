"""`python -m inference`."""

from runtime.process import run
from runtime.settings import load_settings

from inference.bootstrap import serve
from inference.settings import InferenceSettings


def main() -> None:
    """Read the settings, run until a signal."""
    settings = load_settings(InferenceSettings)
    run("inference", settings, lambda process: serve(process, settings))


if __name__ == "__main__":
    main()
