"""Connections that only ever go to addresses that were checked first.

The name is resolved once, every answer is checked, and the connection is made to one of exactly those answers: a second
answer of the name server (rebinding) is never asked for. The socket itself is the last gate: whatever address reaches it,
by whatever spelling, is checked again before anything is sent.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from egress.addresses import Address, AddressRule, parse_address


class AddressRefusedError(Exception):
    """The address is not one that may be connected to. Nothing was sent."""


class NameUnknownError(Exception):
    """The name has no address."""


class Resolver(Protocol):
    """A name server."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of `host`, in order of preference. Raises NameUnknownError."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's resolver."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NameUnknownError(host) from error
    return [str(entry[4][0]) for entry in found]


async def checked_addresses(host: str, port: int, *, resolver: Resolver, allowed: AddressRule) -> list[Address]:
    """The addresses of `host`, each of them allowed. One that is not refuses them all: a name that points both outside and
    inside is no mistake to be worked around. Raises AddressRefusedError, NameUnknownError."""
    literal = parse_address(host)
    texts = [str(literal)] if literal is not None else list(await resolver(host, port))
    addresses = [address for address in map(parse_address, texts) if address is not None]
    if not addresses:
        raise NameUnknownError(host)
    for address in addresses:
        if not allowed(address):
            raise AddressRefusedError(f"{host} is at {address}, which is not a public address")
    return addresses


class PinnedResolver(AbstractResolver):
    """Answers with the addresses it was made with, for the one name it was made for."""

    def __init__(self, host: str, addresses: Sequence[Address]) -> None:
        self._host, self._addresses = host, addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Never asks anybody."""
        if host != self._host:
            raise OSError(f"{host} was not resolved beforehand")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


def pinned_connector(host: str, addresses: Sequence[Address], allowed: AddressRule) -> aiohttp.TCPConnector:
    """A connector for one request to `host` at `addresses`."""

    def gated_socket(info: Any) -> socket.socket:
        family, kind, protocol, _, target = info
        address = parse_address(str(target[0]))
        if address is None or address not in addresses or not allowed(address):
            raise OSError(f"a connection to {target[0]} was refused")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    return aiohttp.TCPConnector(
        resolver=PinnedResolver(host, addresses),
        use_dns_cache=False,
        limit=1,
        force_close=True,
        socket_factory=gated_socket,
    )
