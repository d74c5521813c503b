"""`python -m gateway`: settings, run."""

import gc


def main() -> None:
    """Run the gateway until it is stopped."""
    # Modules are no garbage: to look for some while they are read is a tenth of the start. `run` switches the collector on again.
    gc.disable()
    from runtime.process import run
    from runtime.settings import load_settings

    from gateway.bootstrap import serve
    from gateway.settings import GatewaySettings

    settings = load_settings(GatewaySettings)
    run("gateway", settings, lambda process: serve(process, settings))


if __name__ == "__main__":
    main()
