"""What can be said of an address without asking a name server."""

from typing import Final

from yarl import URL

from egress.addresses import AddressRule, parse_address

LONGEST_URL: Final = 2048


class UrlRefusedError(Exception):
    """The address is not one that anything is sent to; the sentence says why. Nothing was sent."""


def check_url(text: str, *, insecure: bool, allowed: AddressRule) -> URL:
    """What can be said of an address without asking a name server: whole, https (or http where `insecure`), without
    credentials, not a forbidden address spelled out. Raises UrlRefusedError."""
    if len(text) > LONGEST_URL:
        raise UrlRefusedError(f"it is longer than {LONGEST_URL} characters")
    try:
        url = URL(text)
        host = url.host
        port = url.port
    except ValueError as error:
        raise UrlRefusedError("it is no address") from error
    if url.scheme not in (("https", "http") if insecure else ("https",)) or not host or not port:
        raise UrlRefusedError(
            "it must be a whole https:// address" + (" or http://, in development" if insecure else "")
        )
    if url.user is not None or url.password is not None:
        raise UrlRefusedError("it has a user name or a password in it")
    if any(ord(letter) < 33 for letter in text) or url.fragment:
        raise UrlRefusedError("it has a blank, a control character or a fragment in it")
    literal = parse_address(host)
    if literal is not None and not allowed(literal):
        raise UrlRefusedError(f"{literal} is not a public address")
    if literal is None and host.rstrip(".").rpartition(".")[2].isdigit():
        # `127.1` or `0x7f.1`: a spelling of an address that only some resolvers understand.
        raise UrlRefusedError("its host is neither a name nor an address")
    return url
