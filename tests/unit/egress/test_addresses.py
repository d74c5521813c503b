"""Which addresses are public, however they are spelled."""

import time
from ipaddress import IPv4Address, IPv6Address

import pytest
from egress.addresses import is_public, parse_address
from hypothesis import given
from hypothesis import strategies as st
from inference.tools.adapters.page_text import page_text

INSIDE = [
    "10.1.2.3",
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "192.88.99.1",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "5f00::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::1",
]
OUTSIDE = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("text", INSIDE)
def test_inside(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert not is_public(address)


@pytest.mark.parametrize("text", OUTSIDE)
def test_outside(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_public(address)


@given(st.integers(0, 2**32 - 1))
def test_an_inner_address_is_never_more_public_than_itself(number: int) -> None:
    inner = IPv4Address(number)
    for prefix in (0xFFFF << 32, 0x0064FF9B << 96, 0x0064FF9B0001 << 80, 0):
        assert is_public(IPv6Address(prefix | number)) <= is_public(inner)
    assert is_public(IPv6Address((0x2002 << 112) | (number << 80))) <= is_public(inner)


@pytest.mark.parametrize("text", ["example.org", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "[::1", ""])
def test_what_is_no_address_goes_to_the_resolver(text: str) -> None:
    assert text == "[::1" or parse_address(text) is None


def test_a_page_as_text() -> None:
    html = """<html><head><title> The  Lamp </title><script>evil()</script><style>p{}</style></head><body>
    <h1>Light</h1><p>It is <b>bright</b> &amp; high.</p><ul><li>one<li>two</ul>
    <a href="https://example.org/x">more</a><a href="javascript:no()">no</a><p hidden>x</p></body></html>"""
    assert page_text(html) == (
        "The Lamp\n\n# Light\n\nIt is bright & high.\n- one\n- two\n\nmore (https://example.org/x)no\nx"
    )


@given(st.text(alphabet="<>/abhps \"'=&;!-[]", max_size=300))
def test_no_markup_is_too_broken(html: str) -> None:
    page_text(html)


PIECES = (
    "<![;",
    "<",
    "<a ",
    "<!--",
    "<div>",
    "<b><p>",
    "<table><tr><td>",
    '<a b="',
    "&#",
    "</p ",
    "<script></",
    "<svg><b>",
)


@pytest.mark.parametrize("piece", PIECES)
def test_no_page_takes_long(piece: str) -> None:
    html = piece * (1_000_000 // len(piece))
    began = time.process_time()
    page_text(html)
    assert time.process_time() - began < 3
