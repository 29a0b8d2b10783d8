"""A custom model that was granted the Hub reaches the Hub, and nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from inference.catalogue import ModelCard
from inference.engines.base import Resources
from inference.engines.custom import folder
from inference.engines.custom.engine import CustomEngine
from inference.engines.custom.hub_proxy import HubProxy
from inference.requests import TaskRequest
from tests.hub import Hub, Repo
from tests.inference.test_custom_engine import LIMITS, submitted

CODE = """
import json, os, socket, urllib.request

PROXY = ("127.0.0.1", 3128)

def load():
    return None

def tried(what):
    try:
        return str(what())
    except Exception as error:
        return type(error).__name__

def connect(host, port):
    with socket.create_connection(PROXY, 10) as line:
        line.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        return line.recv(100).split(b" ")[1].decode()

def visit(address):
    return urllib.request.urlopen(address, timeout=10).status

def fetched():
    from huggingface_hub import hf_hub_download
    with open(hf_hub_download("lab/words", "words.txt", cache_dir="/tmp/hub")) as file:
        return file.read()

def run(model, hub: int, other: int):
    return {
        "hub": tried(fetched),
        "hub, by its address": tried(lambda: connect("127.0.0.1", hub)),
        "other, directly": tried(lambda: socket.create_connection(("127.0.0.1", other), 5)),
        "other, through": tried(lambda: connect("127.0.0.1", other)),
        "other, asked for": tried(lambda: visit(f"http://127.0.0.1:{other}/")),
        "other, by name": tried(lambda: connect("localhost", hub)),
        "a name": tried(lambda: socket.getaddrinfo("localhost.example", 80)),
        "the socket's folder": tried(lambda: sorted(os.listdir("/"))),
    }
"""


class Witness(Hub):
    """Somebody else on this machine, who hears of every connection."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        self.heard += 1
        super().process_request(request, client_address)


@pytest.fixture
def hubs() -> Iterator[tuple[Hub, Witness]]:
    """The Hub, with one file, and somebody who is not."""
    both = Hub(), Witness()
    both[0].repos["lab/words"] = Repo({"words.txt": b"hello from the Hub"})
    for each in both:
        threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
    yield both
    for each in both:
        each.shutdown()
        each.server_close()


def asked(place: Path, network: bool, hub: Hub, other: Hub) -> dict[str, str]:
    """What the code could reach."""
    source, _ = submitted(place, CODE)
    digest = folder.digest_of(CODE, "", network)
    card = ModelCard(
        "custom/x",
        str(source),
        engine="custom",
        task="custom",
        revision=digest,
        engine_args={"network": network},
    )
    log = place / "log"
    resources = Resources(str(source), log, "cpu", ("cpu",), 0, 0, 0, limits=LIMITS, hub=hub.url)
    inputs = {"hub": hub.server_port, "other": other.server_port}

    async def run() -> Any:
        engine = CustomEngine(card, resources)
        try:
            await engine.start()
            request = TaskRequest(model="custom/x", task="custom", inputs=inputs)
            async with aclosing(engine.generate(await engine.prepare(request))) as outputs:
                return [output async for output in outputs][-1].data
        finally:
            await engine.stop()

    found: dict[str, str] = asyncio.run(run())
    return found


@pytest.mark.jail
def test_the_hub_and_nobody_else_is_reached(tmp_path: Path, hubs: tuple[Hub, Witness]) -> None:
    hub, other = hubs
    found = asked(tmp_path, True, hub, other)
    assert found["hub"] == "hello from the Hub"
    assert found["hub, by its address"] == "200"
    assert found["other, directly"] == "ConnectionRefusedError"
    assert found["other, through"] == found["other, by name"] == "403"
    assert found["other, asked for"] == "HTTPError"
    assert found["a name"] == "gaierror"
    assert other.heard == 0


@pytest.mark.jail
def test_without_the_grant_there_is_no_line(tmp_path: Path, hubs: tuple[Hub, Witness]) -> None:
    hub, other = hubs
    found = asked(tmp_path, False, hub, other)
    assert found["hub"] != "hello from the Hub"
    assert found["hub, by its address"] == "ConnectionRefusedError"
    assert (hub.asked, other.heard) == ([], 0)


@pytest.mark.parametrize(
    ("host", "port", "leads"),
    [
        ("huggingface.co", 443, True),
        ("HuggingFace.co.", 443, True),
        ("cdn-lfs.huggingface.co", 443, True),
        ("cas-bridge.xethub.hf.co", 443, True),
        ("huggingface.co", 80, False),
        ("huggingface.co.example", 443, False),
        ("nothuggingface.co", 443, False),
        ("127.0.0.1", 443, False),
        ("169.254.169.254", 443, False),
        ("", 443, False),
    ],
)
def test_hosts_of_the_hub(host: str, port: int, leads: bool) -> None:
    proxy = HubProxy("https://huggingface.co")
    try:
        assert proxy.leads_to(host, port) is leads
    finally:
        asyncio.run(proxy.stop())


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT HTTP/1.1\r\n\r\n",
        b"CONNECT huggingface.co:99999 HTTP/1.1\r\n\r\n",
        b"CONNECT user@127.0.0.1:{port} HTTP/1.1\r\n\r\n",
        b"GET ftp://127.0.0.1:{port}/ HTTP/1.1\r\n\r\n",
        b"GET http://127.0.0.1:{port}@example.org/ HTTP/1.1\r\n\r\n",
        b"\xff\xfe \r\n\r\n",
    ],
)
async def test_what_is_no_request_to_a_proxy_is_refused(
    hubs: tuple[Hub, Witness], head: bytes
) -> None:
    hub, _ = hubs
    proxy = HubProxy(hub.url)
    await proxy.start()
    try:
        reader, writer = await asyncio.open_unix_connection(proxy.path)
        writer.write(head.replace(b"{port}", str(hub.server_port).encode()))
        assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
        writer.close()
    finally:
        await proxy.stop()
    assert hub.asked == []
    assert not proxy.path.exists()
