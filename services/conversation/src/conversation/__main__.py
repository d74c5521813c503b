"""`python -m conversation`."""

import gc


def main() -> None:
    """Read the settings, run until a signal."""
    # Modules are no garbage: to look for some while they are read is a tenth of the start. `run` switches the collector on again.
    gc.disable()
    from runtime.process import run
    from runtime.settings import load_settings

    from conversation.bootstrap import main as serving
    from conversation.settings import Settings

    settings = load_settings(Settings)
    run("conversation", settings, serving(settings))


if __name__ == "__main__":
    main()
