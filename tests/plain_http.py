"""Clients for servers on this machine, which speak plain HTTP."""

import ssl
from typing import Any, Final

import httpx2

NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What a client would verify certificates with. To read those of the world's authorities takes 20 ms, for each client anew."""


def plain_client(**more: Any) -> httpx2.AsyncClient:
    """httpx2.AsyncClient without what only https and proxies need; takes what it takes."""
    return httpx2.AsyncClient(verify=NO_AUTHORITIES, trust_env=False, **more)
