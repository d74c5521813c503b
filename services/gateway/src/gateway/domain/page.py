"""The page over HTTP: which paths are its own, under which rules a browser runs it, how long it may be kept."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

INDEX: Final = "index.html"
CONSOLE: Final = "console.html"
DOCUMENTS: Final = frozenset({INDEX, CONSOLE})
ASSETS: Final = "assets/"
AT_ROOT: Final = frozenset({"favicon.svg", "manifest.webmanifest", "service-worker.js"})
"""A service worker's scope is the folder it is in: the page's is all of it."""

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify service-worker",
    )
)
"""No inline script or style, no other origin, no text that becomes HTML but by the sanitiser, and one address of a worker."""

HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def headers_for(provider: Sequence[str] = ()) -> Mapping[str, str]:
    """The same where the page signs people in at an identity provider: its origins may be asked too."""
    policy = POLICY.replace("connect-src 'self'", " ".join(("connect-src 'self'", *provider)))
    return {**HEADERS, "content-security-policy": policy}


def etag_of(content: str, provider: Sequence[str] = ()) -> str:
    """A file's validator, from its content's. The policy is part of what a browser keeps, so other origins are another file."""
    return f'"{content}-{sha256(" ".join(provider).encode()).hexdigest()[:8]}"' if provider else f'"{content}"'


def file_of(path: str) -> str | None:
    """The page's file at a path: the chat's views are all one document, the console's another, the parts of both stand below
    `assets/`. None: not the page's."""
    if path in ("/", "/join", "/sign-in") or path.startswith(("/t/", "/join/")):
        return INDEX
    if path == "/console" or path.startswith("/console/"):
        return CONSOLE
    name = path.removeprefix("/")
    return name if name.startswith(ASSETS) or name in AT_ROOT else None


def wants_page(accept: str) -> bool:
    """Whether who asks is a browser that opens an address: programs that ask for anything get the API's greeting."""
    return "text/html" in accept


def caching_of(name: str) -> str:
    """Parts have a hash of their content in their name; everything else is asked for again."""
    return "public, max-age=31536000, immutable" if name.startswith(ASSETS) else "no-cache"


def coding_of(accept_encoding: str, offered: Mapping[str, bytes]) -> str | None:
    """The first of `offered` (best first) that the client takes."""
    taken = {
        part.partition(";")[0].strip()
        for part in accept_encoding.split(",")
        if not part.replace(" ", "").endswith(";q=0")
    }
    return next((coding for coding in offered if coding in taken), None)
