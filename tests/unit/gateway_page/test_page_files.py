"""The page's files: which path is which, how long they are kept, and what happens when the page is built anew."""

import gzip
import os
from pathlib import Path

import pytest
from gateway.adapters.page_files import PageFolder
from gateway.domain.page import HEADERS, POLICY, caching_of, coding_of, etag_of, file_of, headers_for, wants_page


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "index.html"),
        ("/t/thr_01ARZ3NDEKTSV4RRFFQ69G5FAV", "index.html"),
        ("/console", "console.html"),
        ("/console/runs/x", "console.html"),
        ("/consoles", None),
        ("/assets/index-abc.js", "assets/index-abc.js"),
        ("/favicon.svg", "favicon.svg"),
        ("/service-worker.js", "service-worker.js"),
        ("/assets/service-worker.js", "assets/service-worker.js"),
        ("/join", "index.html"),
        ("/join/viewer", "index.html"),
        ("/joins", None),
        ("/sign-in", "index.html"),
        ("/v1/threads", None),
        ("/etc/passwd", None),
    ],
)
def test_a_path_is_a_view_or_a_part_or_none_of_ours(path: str, name: str | None) -> None:
    assert file_of(path) == name


def test_programs_get_the_greeting_and_browsers_the_page() -> None:
    assert wants_page("text/html,application/xhtml+xml,*/*;q=0.8")
    assert not wants_page("*/*")
    assert not wants_page("application/json")


def test_parts_are_kept_for_ever_and_the_document_is_asked_for_again() -> None:
    assert "immutable" in caching_of("assets/index-abc.js")
    assert caching_of("index.html") == "no-cache"


def test_the_best_coding_that_is_taken() -> None:
    offered = {"br": b"", "gzip": b""}
    assert coding_of("gzip, deflate, br;q=1.0", offered) == "br"
    assert coding_of("gzip", offered) == "gzip"
    assert coding_of("br;q=0, gzip", offered) == "gzip"
    assert coding_of("", offered) is None


def test_the_policy_allows_nothing_inline_and_nobody_else() -> None:
    assert "unsafe" not in POLICY
    assert "http" not in POLICY
    assert "*" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_with_an_identity_provider_its_origins_may_be_asked_and_no_other() -> None:
    policy = headers_for(("https://id.example.org", "https://tokens.example.org"))["content-security-policy"]
    assert "; connect-src 'self' https://id.example.org https://tokens.example.org; " in policy
    assert policy.count("http") == 2
    assert headers_for() == HEADERS
    # A browser that keeps the document asks for it again when it may ask somebody else.
    assert len({etag_of("1"), etag_of("1", ("https://a.org",)), etag_of("1", ("https://b.org",)), etag_of("2")}) == 4


def test_a_folder_that_is_filled_later_and_filled_anew(tmp_path: Path) -> None:
    now = 0.0
    folder = PageFolder(tmp_path / "dist", clock=lambda: now)
    assert folder.find("index.html") is None
    write(tmp_path / "dist", "first")
    assert folder.find("index.html") is None, "it looks once in a second"
    now = 2.0
    page = folder.find("index.html")
    assert page is not None
    assert (page.body, page.media_type) == (b"first", "text/html; charset=utf-8")
    part = folder.find("assets/first.js")
    assert part is not None
    assert gzip.decompress(part.encoded["gzip"]) == part.body
    assert folder.find("assets/first.js.gz") is None, "a coding is no file of its own"
    assert folder.find("../secret") is None
    assert folder.find(".sources") is None
    (tmp_path / "dist" / "assets" / "first.js").unlink()
    write(tmp_path / "dist", "second")
    now = 4.0
    again = folder.find("index.html")
    assert again is not None
    assert again.body == b"second"
    assert again.etag != page.etag
    assert folder.find("assets/first.js") is not None, "tabs that are open still ask for it"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    write(tmp_path / "dist", "first")
    (tmp_path / "dist" / "link.txt").symlink_to(tmp_path / "secret")
    assert PageFolder(tmp_path / "dist").find("link.txt") is None


def write(folder: Path, text: str) -> None:
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    script = folder / "assets" / f"{text}.js"
    script.write_text(f"// {text}")
    script.with_name(script.name + ".gz").write_bytes(gzip.compress(script.read_bytes()))
    (folder / ".sources").write_text("hash")
    fresh = folder / f".{text}"
    fresh.write_text(text)
    os.replace(fresh, folder / "index.html")
