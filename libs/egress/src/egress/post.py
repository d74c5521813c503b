"""One POST to an address that somebody else chose: checked, pinned, no redirect followed, bounded in time and size."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from egress.addresses import AddressRule, is_public
from egress.connector import (
    AddressRefusedError,
    NameUnknownError,
    Resolver,
    checked_addresses,
    pinned_connector,
    system_resolver,
)
from egress.urls import UrlRefusedError, check_url


class PostFailedError(Exception):
    """Nobody answered properly. Whether the other side has the request is not known; the sentence holds no secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRules:
    """What may be sent to, and how long one request may take. Seconds and bytes; `insecure` allows http, for development."""

    allowed: AddressRule = is_public
    insecure: bool = False
    seconds: float = 10.0
    connect_seconds: float = 5.0
    answer_bytes: int = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """The status and the beginning of the body, at most `answer_bytes`. A redirect is an answer like any other."""

    status: int
    headers: Mapping[str, str]
    body: bytes


async def post(
    text: str, body: bytes, headers: Mapping[str, str], rules: PostRules, resolver: Resolver = system_resolver
) -> Answer:
    """Send once. Raises UrlRefusedError (nothing was sent) and PostFailedError (it may have arrived)."""
    url = check_url(text, insecure=rules.insecure, allowed=rules.allowed)
    host, port = url.host or "", url.port or 0
    try:
        async with asyncio.timeout(rules.seconds):
            addresses = await checked_addresses(host, port, resolver=resolver, allowed=rules.allowed)
            async with (
                pinned_connector(host, addresses, rules.allowed) as connector,
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    trust_env=False,
                    timeout=aiohttp.ClientTimeout(total=rules.seconds, sock_connect=rules.connect_seconds),
                ) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                return Answer(response.status, dict(response.headers), await _beginning(response, rules.answer_bytes))
    except AddressRefusedError as error:
        raise UrlRefusedError(str(error)) from error
    except NameUnknownError as error:
        raise PostFailedError(f"there is no host {host}") from error
    except TimeoutError as error:
        raise PostFailedError(f"no answer within {rules.seconds:g} seconds") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PostFailedError(f"the request failed ({type(error).__name__})") from error


async def _beginning(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """At most `limit` bytes; what comes after them is never read, the connection is closed instead."""
    found = bytearray()
    while len(found) < limit and (piece := await response.content.read(limit - len(found))):
        found += piece
    if not response.content.at_eof():
        response.close()
    return bytes(found)
