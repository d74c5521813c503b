"""`python -m gateway`: settings, run."""

from runtime.process import run
from runtime.settings import load_settings

from gateway.bootstrap import serve
from gateway.settings import GatewaySettings


def main() -> None:
    """Run the gateway until it is stopped."""
    settings = load_settings(GatewaySettings)
    run("gateway", settings, lambda process: serve(process, settings))


if __name__ == "__main__":
    main()
