"""The guarded fetch against real servers on two loopback addresses: the one stands for the internet, the other for inside."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from egress.addresses import Address
from egress.connector import NameUnknownError
from inference.tools.adapters.http_fetch import FetchRules, fetch, http_fetch_tool
from inference.tools.domain.outcome import Output, ToolFailedError
from inference.tools.ports import ToolContext

OUTSIDE, INSIDE = "127.0.0.2", "127.0.0.1"


def only_outside(address: Address) -> bool:
    return address == ip_address(OUTSIDE)


class Names:
    """A name server that answers each question from a list, and the last answer for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if not answer:
            raise NameUnknownError(host)
        return answer


@dataclass
class Site:
    port: int
    outside: list[web.BaseRequest] = field(default_factory=list)
    inside: list[web.BaseRequest] = field(default_factory=list)

    @property
    def rules(self) -> FetchRules:
        return FetchRules(allowed=only_outside, ports=frozenset({self.port}), seconds=5.0, max_bytes=10_000)

    async def get(self, path: str, names: Names | None = None, **changes: Any) -> dict[str, Any]:
        url = path if "://" in path else f"http://site.test:{self.port}{path}"
        return await fetch(url, replace(self.rules, **changes), names or Names([OUTSIDE]))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    with socket.socket() as probe:
        probe.bind((OUTSIDE, 0))
        found = Site(probe.getsockname()[1])

    async def page(request: web.BaseRequest) -> web.StreamResponse:
        found.outside.append(request)
        match request.path:
            case "/page":
                return web.Response(
                    text="<title>A page</title><p>Grüße</p>", content_type="text/html", charset="iso-8859-1"
                )
            case "/json":
                return web.json_response({"a": 1})
            case "/redirect":
                return web.Response(status=302, headers={"location": f"http://{INSIDE}:{found.port}/secret"})
            case "/image":
                return web.Response(body=b"\x89PNG", content_type="image/png")
            case "/bomb":
                return web.Response(
                    body=gzip.compress(b"0" * 5_000_000),
                    headers={"content-encoding": "gzip"},
                    content_type="text/plain",
                )
            case "/endless" | "/slow":
                response = web.StreamResponse(headers={"content-type": "text/plain"})
                await response.prepare(request)
                while True:
                    await response.write(b"x" * (1 if request.path == "/slow" else 1000))
                    await asyncio.sleep(0.05 if request.path == "/slow" else 0)
            case "/charset":
                return web.Response(body="ä".encode(), headers={"content-type": "text/plain; charset=klingon"})
            case "/echo":
                return web.json_response({"headers": dict(request.headers)})
        return web.Response(status=404, text="nothing here")

    async def secret(request: web.BaseRequest) -> web.StreamResponse:
        found.inside.append(request)
        return web.Response(text="the metadata of this machine")

    async with AsyncExitStack() as stack:
        for address, handler in ((OUTSIDE, page), (INSIDE, secret)):
            runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, address, found.port).start()
        yield found


async def test_a_page_becomes_text(site: Site) -> None:
    page = await site.get("/page#part")
    assert page == {
        "url": f"http://site.test:{site.port}/page#part",
        "status": 200,
        "content_type": "text/html",
        "text": "A page\n\nGrüße",
    }
    assert site.outside[0].headers["host"] == f"site.test:{site.port}"
    assert (await site.get("/json"))["text"] == '{"a": 1}'
    assert (await site.get("/nowhere"))["status"] == 404
    assert (await site.get("/charset"))["text"] == "ä"


async def test_a_second_answer_of_the_name_server_is_never_asked_for(site: Site) -> None:
    names = Names([OUTSIDE], [INSIDE])
    page = await site.get("/page", names)
    assert page["status"] == 200
    assert names.asked == ["site.test"]
    assert site.inside == []
    with pytest.raises(ToolFailedError, match="not a public address"):
        await site.get("/page", names)
    assert site.inside == []


async def test_one_inside_address_among_outside_ones_refuses_the_name(site: Site) -> None:
    for answer in ([INSIDE, OUTSIDE], [OUTSIDE, INSIDE], [f"::ffff:{INSIDE}"], ["64:ff9b::7f00:1"], ["::1"]):
        with pytest.raises(ToolFailedError, match="not a public address"):
            await site.get("/page", Names(answer))
    assert site.inside == site.outside == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
    ],
)
async def test_no_spelling_of_an_inside_address_gets_through(site: Site, host: str) -> None:
    """With the operating system's own resolver and the real rule."""
    tool = http_fetch_tool(FetchRules(ports=frozenset({site.port}), seconds=5.0))
    context = ToolContext(run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id="u")
    with pytest.raises(ToolFailedError):
        await tool.call({"url": f"http://{host}:{site.port}/secret"}, context)
    assert site.inside == []


async def test_a_redirect_is_told_and_not_followed(site: Site) -> None:
    page = await site.get("/redirect")
    assert (page["status"], page["location"]) == (302, f"http://{INSIDE}:{site.port}/secret")
    assert site.inside == []
    with pytest.raises(ToolFailedError, match="not a public address"):
        await site.get(page["location"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://site.test/x", "http:// and https://"),
        ("file:///etc/passwd", "http:// and https://|no address"),
        ("site.test/page", "http:// and https://|no address"),
        ("http://user:secret@site.test/page", "user name"),
        ("http://site.test:6379/", "Port 6379"),
        ("http://[::1", "no address"),
        ("http://site.test:99999/", "no address|Port"),
        ("", "http:// and https://"),
        ("http:///page", "http:// and https://|no address"),
        ("https://site.test/page", "Port 443"),
    ],
)
async def test_addresses_that_are_not_fetched(site: Site, url: str, expected: str) -> None:
    with pytest.raises(ToolFailedError, match=expected):
        await fetch(url, site.rules, Names([OUTSIDE]))
    assert site.outside == []


async def test_limits(site: Site) -> None:
    with pytest.raises(ToolFailedError, match="image/png"):
        await site.get("/image")
    with pytest.raises(ToolFailedError, match="compressed"):
        await site.get("/bomb")
    with pytest.raises(ToolFailedError, match="more than 10000 bytes"):
        await site.get("/endless")
    with pytest.raises(ToolFailedError, match="at most 5 are read"):
        await site.get("/json", max_bytes=5)
    with pytest.raises(ToolFailedError, match=r"within 0\.3 seconds"):
        await site.get("/slow", seconds=0.3)
    with pytest.raises(ToolFailedError, match="no host"):
        await site.get("/page", Names([]))


async def test_nothing_of_ours_goes_along(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{INSIDE}:{site.port}")
    monkeypatch.setenv("http_proxy", f"http://{INSIDE}:{site.port}")
    await site.get("/echo")
    sent = {name.lower() for name in site.outside[0].headers}
    assert sent == {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert site.inside == []


async def test_the_tool_gives_json(site: Site) -> None:
    tool = http_fetch_tool(site.rules, Names([OUTSIDE]))
    context = ToolContext(run_id="r", thread_id="t", step=1, idempotency_key="r:1", user_id="u")
    outcome = await tool.call({"url": f"http://site.test:{site.port}/json"}, context)
    assert isinstance(outcome, Output)
    assert outcome.value["text"] == '{"a": 1}'
