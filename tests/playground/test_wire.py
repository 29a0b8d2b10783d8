"""The bytes of requests and answers: limits, bodies of any kind, readers of any speed."""

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import RunningServer

LIMIT = 20 * 2**20


def error_of(response: httpx.Response) -> dict[str, object]:
    assert response.headers["content-type"] == "application/json"
    found: dict[str, object] = response.json()["error"]
    return found


def chunks() -> Iterator[bytes]:
    for _ in range(300):
        yield b"x" * 2**20


@pytest.mark.parametrize("content", [b"x" * (LIMIT + 1), chunks()], ids=["by length", "in chunks"])
def test_body_beyond_the_limit_is_413(server: RunningServer, content: object) -> None:
    response = httpx.post(f"{server.url}/v1/chat/completions", content=content)  # type: ignore[arg-type]
    assert response.status_code == 413
    assert error_of(response)["code"] == "content_too_large"
    assert error_of(response)["type"] == "invalid_request_error"


def test_announced_length_alone_is_enough(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(
            b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n"
        )
        assert b"413" in line.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "application/x-www-form-urlencoded", "text/plain", "nonsense"]
)
def test_body_is_json_whatever_the_content_type(server: RunningServer, kind: str) -> None:
    body = json.dumps({"prompt": "a=b&c=%41"}).encode()
    response = httpx.post(
        f"{server.url}/v1/completions", content=body, headers={"content-type": kind}
    )
    assert response.json()["choices"][0]["text"] == "0:a=b&c=%41 "


def test_pages_still_read_their_forms(server: RunningServer) -> None:
    with httpx.Client(base_url=server.url, follow_redirects=True) as browser:
        page = browser.get("/admin/login/")
        token = browser.cookies["csrftoken"]
        form = {
            "csrfmiddlewaretoken": token,
            "login": "admin",
            "password": "a-long-test-password",
            "next": "/admin/",
        }
        assert "Log out" in browser.post(page.url, data=form).text


def test_slow_reader_gets_every_token_in_order(server: RunningServer) -> None:
    words = [f"w{i}-{'x' * 900}" for i in range(1000)]  # half the context
    body = {"stream": True, "messages": [{"role": "user", "content": " ".join(words)}]}
    data = json.dumps(body).encode()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", server.port))
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        line.sendall(head.encode() + data)
        time.sleep(1.0)  # the reader's slowness itself: the server's buffers fill meanwhile
        received = b""
        while piece := line.recv(2**16):
            received += piece
    assert said(received).split() == [f"{i}:{word}" for i, word in enumerate(words)]


def test_the_last_events_of_a_stream_come_together(server: RunningServer) -> None:
    body = {"stream": True, "messages": [{"role": "user", "content": "one two three"}]}
    data = json.dumps(body | {"stream_options": {"include_usage": True}}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(head.encode() + data)
        while not received.endswith(b"\r\n0\r\n\r\n"):
            received += line.recv(2**16)
    first, *_, last, end = chunks_of(received)
    assert [text in first for text in ("assistant", "0:one")] == [True, True]
    assert [text in last for text in ('"stop"', '"total_tokens":6', "[DONE]")] == [True] * 3
    assert end == ""


WEBSOCKET = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: \xff"
)


@pytest.mark.parametrize("path", ["/v1/models", "/hf/models/echo", "/healthz", "/ws/chat"])
@pytest.mark.parametrize(
    "header",
    [
        b"Daphne-Root-Path: \xff",
        b"Accept: a\x0bb",
        b"Accept: a\x1cb",
        b"Accept: a\0b",
        b"Acc@ept: a",
        b"Acc ept: a",
        b"nothing",
        WEBSOCKET,
    ],
)
def test_a_head_that_cannot_be_read_is_400(server: RunningServer, path: str, header: bytes) -> None:
    before = len(server.log.read_text())
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n\r\n" % (path.encode(), header))
        line.shutdown(socket.SHUT_WR)
        received = b""
        while piece := line.recv(2**16):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\ncontent-type: application/json\r\n" in head.lower()
    error = json.loads(body)["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_request")
    assert error["message"] and error["param"] is None
    assert "Traceback" not in server.log.read_text()[before:]


@pytest.mark.parametrize("target", [b"/v1/models/\xa0", b"/v1/models?\xa0", b"/v1/\xff"])
def test_a_target_that_is_not_ascii_is_400(server: RunningServer, target: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % target)
        received = line.recv(2**16)
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_request"


def test_a_refusal_goes_along_with_the_answer_before_it(server: RunningServer) -> None:
    """It was asked for while that was streamed, and is given as soon as that ends."""
    body = {"model": "echo-slow", "stream": True, "messages": [{"role": "user", "content": "a b"}]}
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
    bad = b"GET /healthz HTTP/1.1\r\nHost: x\x0by\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as line:
        line.sendall(head.encode() + data + bad + last)
        while piece := line.recv(2**16):
            received += piece
    answers = received.split(b"HTTP/1.1 ")[1:]
    assert [each[:3] for each in answers] == [b"200", b"400", b"200"]
    assert said(answers[0]) == "0:a 1:b "


def chunks_of(received: bytes) -> list[str]:
    """The body of a chunked answer as it came over the line."""
    rest = received.partition(b"\r\n\r\n")[2]
    found = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found.append(rest[: int(size, 16)].decode())
        rest = rest[int(size, 16) + 2 :]
    return found


def said(received: bytes) -> str:
    """The text of a chunked SSE answer."""
    body = "".join(chunks_of(received))
    events = [line[6:] for line in body.split("\n\n") if line.startswith("data: {")]
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    return "".join(delta.get("content") or "" for delta in deltas)
