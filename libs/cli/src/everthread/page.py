"""The page of the gateway: where it is built, and building it while the mesh starts."""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

BUILD: Final = "build.py"


def page_sources() -> Path | None:
    """The folder of the page's sources in a checkout; None where the gateway was installed without them."""
    found = find_spec("gateway")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).resolve().parents[2] / "web"
    return folder if (folder / BUILD).is_file() else None


async def build_page(sources: Path, say: Callable[[str], None]) -> bool:
    """Run the page's own build, whose progress goes to `say`; whether there is a page afterwards. A cancelled build is ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(sources / BUILD),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async for line in process.stdout:
            say(line.decode("utf-8", "replace").rstrip())
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
