"""`python -m conversation`."""

from runtime.process import run
from runtime.settings import load_settings

from conversation.bootstrap import main
from conversation.settings import Settings

if __name__ == "__main__":
    settings = load_settings(Settings)
    run("conversation", settings, main(settings))
