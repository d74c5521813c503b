"""Which addresses may be connected to: public ones only, however they are written, and those that the operator allows."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
AddressRule = Callable[[Address], bool]
"""Whether an address may be connected to."""

NETWORKS: Final = r"^([0-9a-fA-F.:]+/\d{1,3}(,\s*[0-9a-fA-F.:]+/\d{1,3})*)?$"
"""How a list of networks is written in a setting; see `public_or_within`."""
_NAT64: Final = (ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))
_MORE_REFUSED: Final = tuple(
    ip_network(text)
    for text in (
        # What `is_global` counts as global, or counted so in some release of Python, and is inside all the same.
        "0.0.0.0/8",
        "100.64.0.0/10",
        "168.63.129.16/32",  # Azure's host and metadata agent
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fd00:ec2::254/128",  # AWS's metadata service
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


def is_public(address: Address) -> bool:
    """Whether `address` is out on the internet. An IPv4 address inside an IPv6 one (mapped, compatible, 6to4, Teredo,
    NAT64) counts as what it stands for, so that none of these spellings leads back inside."""
    if isinstance(address, IPv6Address):
        inner = _embedded(address)
        if inner is not None:
            return all(is_public(each) for each in inner)
        if address.scope_id is not None:
            return False
    if any(address.version == network.version and address in network for network in _MORE_REFUSED):
        return False
    return address.is_global and not (
        address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.is_unspecified
    )


def parse_address(text: str) -> Address | None:
    """The address that `text` spells, with or without brackets, or None where it is a name."""
    try:
        return ip_address(text.strip("[]"))
    except ValueError:
        return None


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...] | None:
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    low = int(address) & 0xFFFFFFFF
    if address in _NAT64[0]:
        return (IPv4Address(low),)
    if address in _NAT64[1]:
        return (IPv4Address(0),)  # a network's own translation: where it leads cannot be known
    if address in IPv6Network("::/96") and int(address) > 1:
        return (IPv4Address(low),)
    return None


def public_or_within(networks: str) -> AddressRule:
    """The rule that also allows what lies in `networks`: CIDR networks separated by commas, such as `10.20.0.0/16`. Raises
    ValueError for what is no network."""
    inside = tuple(ip_network(text.strip()) for text in networks.split(",") if text.strip())

    def allowed(address: Address) -> bool:
        return is_public(address) or any(
            address.version == network.version and address in network for network in inside
        )

    return allowed if inside else is_public
