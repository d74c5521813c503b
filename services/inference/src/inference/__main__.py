"""`python -m inference`."""

import gc


def main() -> None:
    """Read the settings, run until a signal."""
    # Modules are no garbage: to look for some while they are read is a tenth of the start. `run` switches the collector on again.
    gc.disable()
    from runtime.process import run
    from runtime.settings import load_settings

    from inference.bootstrap import serve
    from inference.settings import InferenceSettings

    settings = load_settings(InferenceSettings)
    run("inference", settings, lambda process: serve(process, settings))


if __name__ == "__main__":
    main()
