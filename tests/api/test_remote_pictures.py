"""HARDENING.md S1: a server that fetches what strangers name, and is turned against nobody."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from django.conf import LazySettings
from PIL import Image

from inference.requests import GenerateRequest, Message
from playground.api import pictures
from playground.errors import BadValue
from tests.api.asking import CHAT, error_of
from tests.api.site import Handler, Site, running
from tests.conftest import MakeServer
from tests.servers import RunningServer

PARAM = "messages[0].content[1].image_url.url"


def drawn(kind: str = "png") -> bytes:
    """A small picture."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, kind)
    return file.getvalue()


@pytest.fixture
def make_site() -> Iterator[Callable[[], Site]]:
    """Sites that end with the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(running())


@pytest.fixture
def site(make_site: Callable[[], Site], settings: LazySettings) -> Site:
    """A site that the operator listed, port and all."""
    made = make_site()
    settings.REMOTE_MEDIA = True
    settings.REMOTE_MEDIA_HOSTS = (made.name,)
    return made


@pytest.fixture
def trap(make_site: Callable[[], Site], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site inside that nobody listed, on a port that anybody may be asked at."""
    made = make_site()
    made.holds("/", drawn())
    monkeypatch.setattr(pictures, "PORTS", {"http": made.server_port, "https": 443})
    yield made
    assert made.connections == 0


def asking(*addresses: str) -> GenerateRequest:
    """A question about pictures."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": "What is it?"}]
    parts += [{"type": "image_url", "image_url": {"url": each}} for each in addresses]
    return GenerateRequest(model="echo", messages=(Message("user", tuple(parts)),))


def urls(question: GenerateRequest) -> list[str]:
    """The addresses of its pictures."""
    assert question.messages and not isinstance(question.messages[0].content, str)
    parts = question.messages[0].content or ()
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


async def refusal(address: str) -> str:
    """Why it is not fetched."""
    with pytest.raises(BadValue) as caught:
        await pictures.bring(asking(address))
    assert (caught.value.param, caught.value.code) == (PARAM, "invalid_image_url")
    return caught.value.message


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif"])
async def test_a_picture_of_a_listed_host_is_brought(site: Site, kind: str) -> None:
    raw = drawn(kind)
    address = site.holds("/a?b=c", raw, **{"Content-Type": "text/html"})
    inside = "data:image/png;base64,AAAA"
    found = urls(await pictures.bring(asking(inside, address)))
    assert found == [inside, f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"]
    assert site.asked == [("/a?b=c", site.name)]


async def test_a_few_redirects_are_followed_and_no_more(site: Site) -> None:
    last = site.holds("/0", drawn())
    for i in range(1, 6):
        last = site.leads(f"/{i}", last if i % 2 else f"/{i - 1}")
    assert urls(await pictures.bring(asking(f"http://{site.name}/3")))[0].startswith("data:")
    assert "redirects" in await refusal(f"http://{site.name}/4")


ELSEWHERE = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST.:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://0.0.0.0:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2001:0:0:0:0:0:80ff:fffe]:{port}/",
    "http://user:password@127.0.0.1:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[fd00:ec2::254]/",
    "http://168.63.129.16/metadata",
    "http://192.0.0.192/opc/v2/",
    "http://100.100.100.200/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.0.1/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://240.0.0.1/",
    "http://8.8.8.8:22/",
    "http:///x",
    "http://a b/",
    "http://\u2100/",
    "https://127.0.0.1/",
]


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_addresses_inside_are_refused(
    site: Site, trap: Site, settings: LazySettings, address: str
) -> None:
    """From a message and from a redirect, whether hosts are listed or all may be asked."""
    there = address.replace("{port}", str(trap.server_port))
    way = site.leads("/way", there)
    await refusal(there)
    await refusal(way)
    settings.REMOTE_MEDIA_HOSTS = ()
    await refusal(there)


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "ldap://x/"]
)
async def test_a_redirect_leads_to_the_web_only(site: Site, address: str) -> None:
    assert "only http" in await refusal(site.leads("/way", address))


async def test_a_name_is_resolved_once_and_its_checked_address_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    """Rebinding: what the name means a moment later does not matter."""
    answers = [["127.0.0.1"], ["127.0.0.66"], ["127.0.0.66"]]

    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == ("pictures.test", site.server_port)
        return answers.pop(0)

    monkeypatch.setattr(pictures, "resolve", resolve)
    settings.REMOTE_MEDIA_HOSTS = (f"pictures.test:{site.server_port}",)
    site.holds("/a", drawn())
    name = f"pictures.test:{site.server_port}"
    assert urls(await pictures.bring(asking(f"http://{name}/a")))[0].startswith("data:image/png")
    assert len(answers) == 2
    assert site.asked == [("/a", name)]


@pytest.mark.parametrize(
    "answers", [["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], ["::ffff:127.0.0.1"], []]
)
async def test_one_address_inside_is_one_too_many(
    site: Site,
    trap: Site,
    monkeypatch: pytest.MonkeyPatch,
    settings: LazySettings,
    answers: list[str],
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return answers

    monkeypatch.setattr(pictures, "resolve", resolve)
    settings.REMOTE_MEDIA_HOSTS = ()
    assert "may be asked" in await refusal(f"http://rebound.test:{trap.server_port}/")


async def test_only_listed_hosts_are_asked(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["8.8.8.8"]

    monkeypatch.setattr(pictures, "resolve", resolve)
    settings.REMOTE_MEDIA_HOSTS = ("one.test", ".two.test")
    for good in ("http://one.test/", "https://ONE.test/x", "https://a.b.two.test/"):
        assert await pictures.checked(httpx.URL(good)) == "8.8.8.8"
    for other in (
        "http://one.test.evil/",
        "http://a.one.test/",
        "http://xtwo.test/",
        "http://one.test:8080/",
    ):
        with pytest.raises(pictures.Unfetchable):
            await pictures.checked(httpx.URL(other))


async def test_no_more_is_read_than_there_is_room_for(site: Site, settings: LazySettings) -> None:
    """However large it is, and whatever its server says of its length."""
    settings.REMOTE_MEDIA_BYTES = 100_000
    sent = 0

    def endless(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(drawn())
        while sent < 1000:
            handler.wfile.write(b"x" * 2**16)
            sent += 1

    site.answers["/endless"] = endless
    assert "bytes" in await refusal(f"http://{site.name}/endless")
    assert sent < 1000
    half = site.holds("/half", drawn() + b"x" * 60_000)
    await pictures.bring(asking(half))
    with pytest.raises(BadValue, match="bytes"):
        await pictures.bring(asking(half, half))


async def test_a_slow_server_holds_nobody(site: Site, settings: LazySettings) -> None:
    settings.REMOTE_MEDIA_SECONDS = 0.3
    gone = threading.Event()

    def dripping(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while not gone.wait(0.02):
                handler.wfile.write(b"x")
        except OSError:
            gone.set()

    site.answers["/slow"] = dripping
    assert "0.3 seconds" in await refusal(f"http://{site.name}/slow")
    # The connection is closed, not left behind.
    assert await asyncio.to_thread(gone.wait, 5)


@pytest.mark.parametrize(
    "body",
    [b"", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"root:x:0:0", b"RIFF1234WAVE"],
)
async def test_what_is_no_picture_is_not_passed_on(site: Site, body: bytes) -> None:
    told = await refusal(site.holds("/x", body, **{"Content-Type": "image/png"}))
    assert "no PNG" in told and "root" not in told


async def test_a_site_that_does_not_answer_well(site: Site, settings: LazySettings) -> None:
    assert "answers 404" in await refusal(site.holds("/404", drawn(), 404))
    site.answers["/broken"] = lambda handler: handler.wfile.write(b"no http\r\n\r\n")
    assert "as one should" in await refusal(f"http://{site.name}/broken")
    site.answers["/short"] = site.answers["/404"]
    site.holds("/short", drawn(), **{"Content-Length": "100000"})
    assert "as one should" in await refusal(f"http://{site.name}/short")
    settings.REMOTE_MEDIA_HOSTS = ("127.0.0.1:9",)
    assert "as one should" in await refusal("http://127.0.0.1:9/")


async def test_there_may_be_so_many(site: Site) -> None:
    address = site.holds("/a", drawn())
    await pictures.bring(asking(*[address] * pictures.MAX_PICTURES))
    with pytest.raises(BadValue, match="at most"):
        await pictures.bring(asking(*[address] * (pictures.MAX_PICTURES + 1)))


def about(address: str) -> dict[str, Any]:
    """A chat about a picture."""
    part = {"type": "image_url", "image_url": {"url": address}}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, part]}]}


def test_nothing_is_fetched_unless_it_is_switched_on(
    server: RunningServer, make_site: Callable[[], Site]
) -> None:
    listener = make_site()
    for path in (CHAT, "/v1/tokenize"):
        response = httpx.post(f"{server.url}{path}", json=about(listener.holds("/a", drawn())))
        assert response.status_code == 400
        assert error_of(response)["param"] == PARAM
    assert listener.connections == 0


def test_a_server_that_fetches(make_server: MakeServer, make_site: Callable[[], Site]) -> None:
    listed, other = make_site(), make_site()
    server = make_server({"REMOTE_MEDIA": "on", "REMOTE_MEDIA_HOSTS": listed.name})
    good, bad = listed.holds("/a", drawn()), other.holds("/a", drawn())
    for path in (CHAT, "/v1/tokenize"):
        refused = httpx.post(f"{server.url}{path}", json=about(bad))
        assert (refused.status_code, error_of(refused)["param"]) == (400, PARAM)
        # It was fetched; this model reads text only.
        blind = httpx.post(f"{server.url}{path}", json=about(good))
        assert error_of(blind)["code"] == "unsupported_parameter"
    assert (listed.connections, other.connections) == (2, 0)
    document = httpx.get(f"{server.url}/v1/openapi.json").text
    assert "^https?://" in document
