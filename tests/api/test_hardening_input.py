"""HARDENING.md, input: bodies that mean harm get a refusal, at once, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.asking import CHAT, TEXT, chat, error_of, text, user
from tests.api.witness import unharmed
from tests.servers import RunningServer

PATHS = [CHAT, TEXT]
NUMBERS = (
    "n",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "top_k",
    "min_p",
    "repetition_penalty",
    "min_tokens",
)
GOOD: dict[str, Any] = {"prompt": "one", "messages": user("one")}
TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.fixture(autouse=True, scope="module")
def others(server: RunningServer) -> Iterator[None]:
    """All of this file is one attack."""
    with unharmed(server):
        yield


def refused(response: httpx.Response, param: str | None = None, status: int = 400) -> None:
    """OpenAI's error, said quickly."""
    assert response.status_code == status, response.text[:500]
    error = error_of(response)
    assert error["type"] == "invalid_request_error"
    assert param is None or error["param"] == param
    assert len(response.text) < 2000


# I2: what is no JSON of ours is in test_errors.py; here what is, and is odd.
ODD = [
    b'{"messages": [{"role": "user", "content": ' + b"[" * 100_000,
    b'{"prompt": ' + b'{"a": ' * 99_000 + b"1" + b"}" * 99_001,
    b'{"prompt": "x", "seed": ' + b"1" * 5000 + b"}",
    b'{"prompt": "x", "seed": -' + b"1" * 4000 + b"}",
    b'{"prompt": "x", "stop": ["\\udc00\\ud800"]}',
    b'{"prompt": "x", "user": "\\u0000"}',
    b'{"prompt": "\xed\xa0\x80"}',
    b"\xef\xbb\xbf" + b'{"prompt": "x"}',
    b'{"prompt": "x"} {"prompt": "y"}',
    b'{"prompt": "x",}',
    b"{'prompt': 'x'}",
    b'{"a": [' + b"[]," * 2_000_000 + b"[]]}",
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("path", PATHS)
def test_odd_json_is_refused(http: httpx.Client, path: str, body: bytes) -> None:
    refused(http.post(path, content=body))


def test_a_key_said_twice_means_its_last_value(http: httpx.Client) -> None:
    response = http.post(TEXT, content=b'{"prompt": "a", "prompt": "b"}')
    assert response.json()["choices"][0]["text"] == "0:b "


# I3, I4, I5, I6
MANY: list[tuple[str, dict[str, Any], str]] = [
    (TEXT, {"prompt": ["x"] * 100_000}, "prompt"),
    (TEXT, {"prompt": [1] * 1_000_000}, "prompt"),
    (TEXT, {"prompt": [[1] * 600_000]}, "prompt"),
    (TEXT, {"best_of": 10**9}, "best_of"),
    (TEXT, {"logprobs": 10**6}, "logprobs"),
    (TEXT, {"max_tokens": 10**12}, "max_tokens"),
    (CHAT, {"n": 10**9}, "n"),
    (CHAT, {"messages": user("x") * 10_000}, "messages"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 5000}]},
     "messages[0].content"),
    (CHAT, {"tools": [TOOL] * 10_000}, "tools"),
    (CHAT, {"stop": ["s"] * 10_000}, "stop"),
    (CHAT, {"stop": ["s" * 100_000]}, "stop[0]"),
    (CHAT, {"logit_bias": {str(i): 1 for i in range(100_000)}}, "logit_bias"),
    (CHAT, {"top_logprobs": 10**6, "logprobs": True}, "top_logprobs"),
    (CHAT, {"max_completion_tokens": -1}, "max_completion_tokens"),
    (CHAT, {"max_tokens": 10**12}, "max_tokens"),
    (CHAT, {"metadata": {"k": "v" * 10_000}}, "metadata.k"),
    (CHAT, {"chat_template_kwargs": {str(i): i for i in range(1000)}}, "chat_template_kwargs"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "more", "param"), MANY, ids=range(len(MANY)))
def test_too_much_is_refused_by_name(
    http: httpx.Client, path: str, more: dict[str, Any], param: str
) -> None:
    refused(http.post(path, json=GOOD | more), param)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("path", PATHS)
def test_a_number_is_a_number_in_its_range(http: httpx.Client, path: str, name: str) -> None:
    """I8: every numeric field, every value that is none."""
    for value in (1e308, -1e308, "1", True, [], {}, "NaN"):
        refused(http.post(path, json=GOOD | {name: value}), name)
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        body = json.dumps(GOOD).encode()[:-1] + b', "' + name.encode() + b'": ' + word + b"}"
        refused(http.post(path, content=body))
    assert http.post(path, json=GOOD | {name: None}).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_beyond_the_context_says_so(http: httpx.Client, stream: bool) -> None:
    for response in (
        text(http, prompt="w " * 5000, stream=stream),
        chat(http, messages=user("w " * 5000), stream=stream),
        text(http, max_tokens=2047, prompt="w " * 500, stream=stream),
    ):
        refused(response)
        assert error_of(response)["code"] == "context_length_exceeded"


# I10
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "field",
    [
        {"chat_template": "{{ 1 }}"},
        {"prompt_embeds": "AAAA"},
        {"cache_salt": "x"},
        {"kv_transfer_params": {"a": 1}},
        {"media_io_kwargs": {"image": {"a": 1}}},
        {"mm_processor_kwargs": {"a": 1}},
        {"vllm_xargs": {"a": 1}},
        {"request_id": "mine"},
    ],
    ids=lambda field: next(iter(field)),
)
def test_fields_that_reach_into_the_engine_are_refused(
    http: httpx.Client, path: str, field: dict[str, Any]
) -> None:
    response = http.post(path, json=GOOD | field)
    refused(response, next(iter(field)))
    assert error_of(response)["code"] == "unsupported_parameter"


@pytest.mark.parametrize(
    "kwargs",
    [
        {"chat_template": "x"},
        {"messages": "x"},
        {"tools": 1},
        {"tokenize": True},
        {"a": "{{ x }}"},
        {"a": "{% x %}"},
        {"a": {"b": 1}},
        {"a": ["b"]},
        {"a": "x" * 65},
    ],
    ids=str,
)
def test_a_template_takes_switches_and_no_text(http: httpx.Client, kwargs: Any) -> None:
    response = chat(http, chat_template_kwargs=kwargs)
    refused(response, f"chat_template_kwargs.{next(iter(kwargs))}")
    good = chat(http, chat_template_kwargs={"enable_thinking": True, "level": "high", "k": 3})
    assert good.status_code == 200


# I11
def nested(levels: int) -> dict[str, Any]:
    """A schema of schemas."""
    found: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        found = {"not": found}
    return found


SCHEMAS: list[dict[str, Any]] = [
    nested(70),
    {"$ref": "#"},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"$ref": "http://{listener}/schema.json"},
    {"properties": {"a": {"$ref": "http://{listener}/schema.json#/x"}}},
    {"$ref": "file:///etc/passwd"},
    {"enum": [str(i) for i in range(10_000)]},
    {"anyOf": [{"enum": list(range(100))}] * 11},
    {"pattern": "(" * 50},
    {"pattern": "x" * 2000},
    {"properties": {f"p{i}": {"type": "string"} for i in range(30_000)}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
@pytest.mark.parametrize("place", ["response_format", "structured_outputs", "tools"])
def test_a_schema_that_could_hurt_is_refused_and_nothing_fetched(
    http: httpx.Client, schema: dict[str, Any], place: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        schema = json.loads(json.dumps(schema).replace("{listener}", address))
        bodies: dict[str, Any] = {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": schema},
            },
            "structured_outputs": {"json": schema},
            "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
        }
        response = chat(http, **{place: bodies[place]})
        refused(response)
        assert error_of(response)["code"] == "invalid_json_schema"
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_500_levels_are_too_many_for_any_body(http: httpx.Client) -> None:
    refused(chat(http, structured_outputs={"json": nested(500)}))


# S1 and I13, as far as no picture is opened
@pytest.mark.parametrize(
    "url",
    [
        "http://{listener}/x.png",
        "https://{listener}/x.png",
        "HTTP://{listener}/x.png",
        "//{listener}/x.png",
        "file:///etc/passwd",
        "ftp://{listener}/x",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        "data:image/png,raw",
        "data:image/png;base64,",
        "data:image/png;base64,@@@@",
        "",
    ],
)
def test_a_picture_comes_with_the_request_or_not_at_all(http: httpx.Client, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = url.replace("{listener}", f"127.0.0.1:{listener.getsockname()[1]}")
        part = {"type": "image_url", "image_url": {"url": url}}
        response = chat(http, messages=[{"role": "user", "content": [part]}])
        refused(response, "messages[0].content[0].image_url.url")
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_hundred_megabytes_of_picture_are_too_large(http: httpx.Client) -> None:
    url = "data:image/png;base64," + "A" * 21_000_000
    part = {"type": "image_url", "image_url": {"url": url}}
    try:
        response = chat(http, messages=[{"role": "user", "content": [part]}])
    except (httpx.WriteError, httpx.ReadError):
        return  # the server hung up while we were still talking, as it should
    refused(response, status=413)


# I1
def test_a_body_without_end_is_cut_off(server: RunningServer) -> None:
    """Chunked, so that nothing announces its size."""
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        head = f"POST {TEXT} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
        peer.sendall(head.encode())
        chunk = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        try:
            while sent < 300:
                peer.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 40, "twice the limit was read"


def test_an_announced_giant_is_refused_unread(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        size = 300 * 2**20
        head = f"POST {TEXT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n{{"
        peer.sendall(head.encode())
        said = peer.recv(65536).decode()
    assert said.startswith("HTTP/1.1 413") and "content_too_large" in said


def test_a_compressed_body_is_no_json(http: httpx.Client) -> None:
    import gzip

    bomb = gzip.compress(b" " * 10_000_000)
    refused(http.post(TEXT, content=bomb, headers={"content-encoding": "gzip"}))


# A refusal is quick whatever the body
LARGE: dict[str, Any] = {
    "a long text": {"messages": user("x" * 8_000_000), "n": 0},
    "many ids": {"prompt": [1] * 900_000},
    "many messages": {"messages": user("x" * 50) * 20_000},
    "a wide schema": {
        "messages": user("x"),
        "structured_outputs": {"json": {"properties": {f"p{i}": {} for i in range(50_000)}}},
    },
    "many tools": {"messages": user("x"), "tools": [TOOL] * 50_000},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_body_does_not_hold_the_others_up(server: RunningServer, name: str) -> None:
    """While ten large bodies are refused, a small request is answered promptly."""
    import threading

    content = json.dumps(LARGE[name]).encode()
    path = TEXT if "prompt" in LARGE[name] else CHAT
    spent: list[int] = []

    def attack() -> None:
        for _ in range(3):
            response = httpx.post(f"{server.url}{path}", content=content, timeout=60)
            refused(response)
            spent.append(int(response.headers["openai-processing-ms"]))

    attackers = [threading.Thread(target=attack) for _ in range(2)]
    for attacker in attackers:
        attacker.start()
    slowest = 0.0
    while any(attacker.is_alive() for attacker in attackers):
        started = time.perf_counter()
        assert httpx.get(f"{server.url}/v1/models", timeout=10).status_code == 200
        slowest = max(slowest, time.perf_counter() - started)
    assert len(spent) == 6
    print(f"{name}: {len(content) / 1e6:.1f} MB, refused in {sorted(spent)} ms, {slowest:.2f} s")
    assert slowest < 2.0
