"""What the documents name is there: files, functions behind them, and links between pages."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("services/*/README.md"), *ROOT.glob("libs/*/README.md")]
)
FILE = re.compile(
    r"`((?:services|libs|proto|tests|deploy|docs)/[\w./-]+\.(?:py|proto|md|toml|jsonl|yaml|yml))(?:::(\w+(?:\.\w+)?))?`"
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_named_file_and_function_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = []
    for file, symbol in FILE.findall(text):
        path = ROOT / file
        if not path.is_file():
            missing.append(file)
        elif symbol and not re.search(
            rf"^\s*(?:async\s+)?(?:def|class)\s+{symbol.split('.')[-1]}\b|^{symbol}\b.*=",
            path.read_text("utf-8"),
            re.MULTILINE,
        ):
            missing.append(f"{file}::{symbol}")
    missing.extend(link for link in LINK.findall(text) if not (page.parent / link).exists())
    assert not missing, f"{page.relative_to(ROOT)} names what is not there: {missing}"


def test_the_walk_names_a_function_in_every_service() -> None:
    named = {file.split("/")[1] for file, symbol in FILE.findall((ROOT / "docs/walk.md").read_text("utf-8")) if symbol}
    assert {"gateway", "conversation", "inference", "notifier"} <= named
