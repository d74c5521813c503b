"""What is wrong with an address, before any name server is asked."""

import pytest
from egress.addresses import public_or_within
from egress.urls import UrlRefusedError, check_url
from hypothesis import given
from hypothesis import strategies as st

PUBLIC = public_or_within("")


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com/hook",
        "ftp://example.com/",
        "https://",
        "/hook",
        "https://user:password@example.com/",
        "https://user@example.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/",
        "https://2130706433/",
        "https://127.1/",
        "https://example.com/#x",
        "https://example.com/ x",
        "https://example.com/\n",
        "https://example.com:99999/",
        "https://example.com/" + "x" * 3000,
    ],
)
def test_refused_outside_development(text: str) -> None:
    with pytest.raises(UrlRefusedError):
        check_url(text, insecure=False, allowed=PUBLIC)


def test_taken() -> None:
    check_url("https://hooks.example.com:8443/x?y=z", insecure=False, allowed=PUBLIC)
    check_url("https://1.1.1.1/", insecure=False, allowed=PUBLIC)
    check_url("https://10.20.0.9/x", insecure=False, allowed=public_or_within("10.20.0.0/16, fd00::/8"))
    check_url("http://127.0.0.1:9000/x", insecure=True, allowed=public_or_within("127.0.0.0/8"))
    with pytest.raises(UrlRefusedError):
        check_url("https://10.21.0.9/x", insecure=False, allowed=public_or_within("10.20.0.0/16"))


def test_a_network_that_is_none() -> None:
    with pytest.raises(ValueError, match="host bits"):
        public_or_within("10.20.0.1/16")


@given(
    st.one_of(st.text(), st.text().map(lambda text: f"https://{text}"), st.text().map(lambda t: f"https://x.de/{t}"))
)
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        url = check_url(text, insecure=False, allowed=PUBLIC)
    except UrlRefusedError:
        return
    assert url.scheme == "https"
    assert url.host
    assert url.user is None
