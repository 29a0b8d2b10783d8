"""HARDENING.md A2: what a Host, a path or a proxy says, and whom the server believes."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.api.asking import TEXT
from tests.api.witness import unharmed
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.usage import row_of


# A2
@pytest.fixture
def open_server(server: RunningServer) -> Iterator[RunningServer]:
    """The shared server, unharmed after."""
    with unharmed(server):
        yield server


def raw(server: RunningServer, head: str, body: str = "") -> str:
    """What is answered to bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
        said = b""
        while more := peer.recv(65536):
            said += more
    return said.decode(errors="replace")


@pytest.mark.database
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1@evil", "a b", "[::1", "x" * 5000])
def test_pages_know_their_own_host_only(server: RunningServer, host: str) -> None:
    said = raw(server, f"GET /admin/login/ HTTP/1.1\r\nHost: {host}")
    assert said.split()[1] == "400"
    assert host not in said.partition("\r\n\r\n")[0]


@pytest.mark.database
def test_paths_and_proxies_play_no_tricks(open_server: RunningServer) -> None:
    tricks = {
        # Else the page of keys would be a path of the API, past all that guards pages.
        "Daphne-Root-Path: /v1": ("/v1/keys", "404"),
        "daphne-root-path: /keys": ("/keys/v1/models", "404"),
        "X-Forwarded-Host: evil.example": ("/v1/models", "200"),
        "X-Original-URL: /admin/": ("/v1/models", "200"),
        "X-HTTP-Method-Override: DELETE": ("/v1/models", "200"),
    }
    for header, (path, status) in tricks.items():
        said = raw(open_server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}")
        assert said.split()[1] == status, (header, said[:300])
        assert "evil.example" not in said
    for path in ("/v1/models%00", "/v1/models\\..\\admin", "/v1/%2e%2e/%2e%2e/etc/passwd"):
        said = raw(open_server, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1")
        assert said.split()[1] in ("400", "404"), said[:300]
        assert "root:" not in said


def test_what_proxies_say_is_believed_of_ours_alone(make_server: MakeServer) -> None:
    """X-Forwarded-Proto: from one who is no proxy, a page that is for HTTPS only sends there."""
    server = make_server({"HTTPS": "1", "TRUSTED_PROXIES": "127.0.0.2"}, ready=False)
    wait_until(lambda: _status(server, "127.0.0.1", "/healthz") == 200, 60, "it serves")
    assert _status(server, "127.0.0.2", "/privacy") == 200
    assert _status(server, "127.0.0.1", "/privacy") == 301
    assert _status(server, "127.0.0.3", "/privacy") == 301


# Who stands where, what is forwarded for whom, and who it is that asks.
WHOSE = [
    ("127.0.0.1", "10.1.1.1", "127.0.0.1"),
    ("127.0.0.1", "10.1.1.1, 127.0.0.2", "127.0.0.1"),
    ("127.0.0.2", "10.1.1.1", "10.1.1.1"),
    ("127.0.0.2", "10.1.1.1, 10.2.2.2", "10.2.2.2"),
    ("127.0.0.2", "10.1.1.1, 127.0.0.2", "10.1.1.1"),
    ("127.0.0.2", "", "127.0.0.2"),
]


@pytest.fixture(scope="module")
def behind(make_server: MakeServer) -> RunningServer:
    """A server behind a proxy, whose figures one address may see."""
    return make_server({"TRUSTED_PROXIES": "127.0.0.2", "METRICS_ALLOW": "10.1.1.1"})


@pytest.mark.parametrize(("peer", "forwarded", "address"), WHOSE)
def test_whoever_asks_is_who_a_proxy_of_ours_says(
    behind: RunningServer, peer: str, forwarded: str, address: str
) -> None:
    said = {"x-forwarded-for": forwarded} if forwarded else {}
    with at(peer) as client:
        asked = client.post(f"{behind.url}{TEXT}", json={"prompt": "x"}, headers=said)
        seen = client.get(f"{behind.url}/metrics", headers=said).status_code
    # His is the account that is counted and limited, and his are the rights of an address.
    assert row_of(behind, asked.headers["x-request-id"])["account"] == f"ip:{address}"
    assert seen == (200 if address == "10.1.1.1" else 401)


def at(address: str) -> httpx.Client:
    """A client at this address of the machine."""
    return httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=30)


def _status(server: RunningServer, address: str, path: str) -> int:
    """What is answered to somebody at this address who says that he came by HTTPS."""
    said = {"x-forwarded-proto": "https", "host": "127.0.0.1"}
    try:
        with at(address) as client:
            return client.get(f"{server.url}{path}", headers=said).status_code
    except httpx.TransportError:
        return 0
