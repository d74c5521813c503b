"""Make sure that there is a Chromium for the browser tests: `python tests/browser/ensure.py`. Costs nothing where there is one.

Debian's package where apt may be used, else Playwright's own download. Where neither can be had it says so in a sentence, and the
browser tests fail with the same one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = (
    "The browser tests need Chromium, and none is here: run `apt-get install chromium` (Debian, as root) or "
    "`playwright install chromium`, or name one in CHROMIUM."
)


def find_chromium() -> str | None:
    """A Chromium that can be run: the one in CHROMIUM, the machine's, or Playwright's."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named if shutil.which(named) else None
    own = next((found for name in NAMES if (found := shutil.which(name))), None)
    return own or _playwrights()


def _playwrights() -> str | None:
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    found = sorted(cache.glob("chromium-*/chrome-linux*/chrome")) + sorted(
        cache.glob("chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
    )
    return str(found[-1]) if found else None


def install() -> None:
    """Try what this machine allows, one after the other."""
    apt = shutil.which("apt-get")
    if apt and hasattr(os, "geteuid") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in ([apt, "update", "-qq"], [apt, "install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            _run(command, environment)
        if find_chromium():
            return
    _run([sys.executable, "-m", "playwright", "install", "chromium"], dict(os.environ))


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{' '.join(command)}: {error}", file=sys.stderr)
        return
    if done.returncode:
        print(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-500:]}", file=sys.stderr)


if __name__ == "__main__":
    if find_chromium() is None:
        print("browser: installing Chromium", flush=True)
        install()
    print(f"browser: {find_chromium() or MISSING}", flush=True)
