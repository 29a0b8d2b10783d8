"""Every failure is OpenAI's error JSON, on every route."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
from openai import OpenAI

from tests.api.asking import CHAT, TEXT, chat, error_of, text, user
from tests.api.test_keys import make_key
from tests.conftest import MakeServer
from tests.servers import RunningServer, wait_until
from tests.turns import busy

ROUTES = {
    CHAT: "POST",
    TEXT: "POST",
    "/v1/engines/echo/completions": "POST",
    "/v1/engines/echo/chat/completions": "POST",
    "/v1/embeddings": "POST",
    "/v1/rerank": "POST",
    "/v1/score": "POST",
    "/v1/tokenize": "POST",
    "/v1/detokenize": "POST",
    "/tokenize": "POST",
    "/detokenize": "POST",
    "/rerank": "POST",
    "/score": "POST",
    "/v1/engines/echo-embed/embeddings": "POST",
    "/v1/models": "GET",
    "/v1/models/echo": "GET",
    "/v1/engines": "GET",
    "/v1/engines/echo": "GET",
}
POSTS = [path for path, method in ROUTES.items() if method == "POST"]
GOOD = {"prompt": "one", "messages": user("one")}
PAIR = {"model": "echo-rerank", "query": "one", "documents": ["one"], "queries": "one"}
# What another body is good for; elsewhere it is GOOD.
BODIES = {
    "/v1/embeddings": {"model": "echo-embed", "input": "one"},
    "/v1/engines/echo-embed/embeddings": {"input": "one"},
    "/v1/rerank": PAIR,
    "/rerank": PAIR,
    "/v1/score": PAIR,
    "/score": PAIR,
    "/v1/tokenize": {"prompt": "one"},
    "/tokenize": {"prompt": "one"},
    "/v1/detokenize": {"tokens": [1]},
    "/detokenize": {"tokens": [1]},
}
BAD_BODIES = {
    "nothing": b"",
    "text": b"hello",
    "half": b'{"prompt": "one"',
    "array": b"[1, 2]",
    "string": b'"hello"',
    "number": b"5",
    "null": b"null",
    "nan": b'{"prompt": "x", "temperature": NaN}',
    "infinity": b'{"prompt": "x", "temperature": -Infinity}',
    "too large a number": b'{"prompt": "x", "temperature": 1e999}',
    "5000 digits": b'{"prompt": "x", "max_tokens": ' + b"9" * 5000 + b"}",
    "lone surrogate": b'{"prompt": "\\ud800"}',
    "lone surrogate key": b'{"prompt": "x", "\\udc00": 1}',
    "nul": b'{"prompt": "a\\u0000b"}',
    "raw nul": b'{"prompt": "a\0b"}',
    "not utf-8": b'{"prompt": "\xff\xfe"}',
    "utf-16": '{"prompt": "x"}'.encode("utf-16"),
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b'{"a":' * 500 + b"1" + b"}" * 500,
}


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_bad_body_is_a_400(http: httpx.Client, path: str, name: str) -> None:
    response = http.post(path, content=BAD_BODIES[name])
    assert response.status_code == 400
    error = error_of(response)
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_json")


@pytest.mark.parametrize("path", [path for path in POSTS if "engines" not in path])
@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_a_404(http: httpx.Client, path: str, stream: bool) -> None:
    good = BODIES.get(path, GOOD)
    response = http.post(path, json=good | {"model": "nope", "stream": stream})
    assert response.status_code == 404
    error = error_of(response)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize(("path", "method"), ROUTES.items())
def test_a_wrong_method_is_a_405(http: httpx.Client, path: str, method: str) -> None:
    for wrong in {"GET", "POST", "PUT", "PATCH", "DELETE"} - {method}:
        response = http.request(wrong, path)
        assert response.status_code == 405, wrong
        assert error_of(response)["code"] == "method_not_supported"


@pytest.mark.parametrize(("path", "method"), ROUTES.items())
def test_a_trailing_slash_is_as_good_as_none(http: httpx.Client, path: str, method: str) -> None:
    body = BODIES.get(path, GOOD) if method == "POST" else None
    assert http.request(method, f"{path}/", json=body).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["", "foo", "chat", "chat/completions/1/2", "../v1/nothing"])
def test_an_unknown_route_is_a_404(http: httpx.Client, method: str, path: str) -> None:
    response = http.request(method, f"/v1/{path}")
    assert response.status_code == 404
    assert error_of(response)["code"] == "unknown_url"


def test_a_head_request_has_no_body(http: httpx.Client) -> None:
    response = http.head("/v1/models")
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "x"])
def test_the_content_type_does_not_matter(http: httpx.Client, kind: str) -> None:
    response = http.post(TEXT, content=b'{"prompt": "one"}', headers={"content-type": kind})
    assert response.status_code == 200


@pytest.mark.parametrize("value", [1e9, 0, -1, 1.5, True, "1", [], {}])
def test_n_is_a_small_number(http: httpx.Client, value: object) -> None:
    for answer in (chat(http, n=value), text(http, n=value), text(http, best_of=value)):
        assert answer.status_code == 400
        assert error_of(answer)["param"] in ("n", "best_of")


MANY_TOOLS = [{"type": "function", "function": {"name": f"f{i}"}} for i in range(10_000)]
DEEP: dict[str, object] = {"type": "string"}
for _ in range(80):
    DEEP = {"type": "array", "items": DEEP} if len(str(DEEP)) < 1200 else {"not": DEEP}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": user("x") * 10_000}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 10**12}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 3000}, "max_tokens"),
        ({"stop": ["a"] * 10_000}, "stop"),
        ({"stop": ""}, "stop"),
        ({"logit_bias": {str(i): 1 for i in range(100_000)}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"logit_bias": {"cat": 1}}, "logit_bias"),
        ({"logprobs": True, "top_logprobs": 10**6}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"seed": 2**63}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": MANY_TOOLS}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": MANY_TOOLS[:1], "tool_choice": "maybe"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"structured_outputs": {"regex": "a", "choice": ["b"]}}, "structured_outputs"),
        ({"structured_outputs": {"regex": "(("}}, "structured_outputs.regex"),
        ({"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
        ({"chat_template": "{{ x }}"}, "chat_template"),
        ({"chat_template_kwargs": {"a": "{{ x }}"}}, "chat_template_kwargs.a"),
        ({"prompt_embeds": "AAAA"}, "prompt_embeds"),
        ({"cache_salt": "x"}, "cache_salt"),
        ({"kv_transfer_params": {"a": 1}}, "kv_transfer_params"),
        ({"media_io_kwargs": {"a": {}}}, "media_io_kwargs"),
        ({"audio": {"voice": "a", "format": "wav"}}, "audio"),
        ({"modalities": ["audio"]}, "modalities"),
    ],
)
def test_a_bad_value_names_its_parameter(
    http: httpx.Client, more: dict[str, object], param: str
) -> None:
    response = chat(http, **more)
    assert response.status_code == 400, response.text
    assert error_of(response)["param"] == param


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1/schema"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/nowhere"},
        {"enum": list(range(10_000))},
        {"type": "string", "pattern": "(("},
        {"type": "string", "pattern": "a" * 10_000},
        DEEP,
    ],
)
def test_a_schema_that_could_hurt_is_refused(http: httpx.Client, schema: object) -> None:
    wrapped = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    response = chat(http, response_format=wrapped)
    assert response.status_code == 400
    assert error_of(response)["code"] == "invalid_json_schema"


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/x.png", "file:///etc/passwd", "data:image/svg+xml;base64,AAAA", "data:,x"],
)
def test_pictures_are_never_fetched(http: httpx.Client, url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    response = chat(http, messages=[{"role": "user", "content": [part]}])
    assert response.status_code == 400
    assert error_of(response)["param"] == "messages[0].content[0].image_url.url"


def test_ignored_parameters_are_named(http: httpx.Client) -> None:
    odd = {"user": "me", "colour": "red", "a\nb": 1, "store": False, "service_tier": "auto"}
    response = chat(http, **odd)
    assert response.status_code == 200
    assert response.headers["x-llms-ignored"] == "user, colour, a%0Ab"
    many = chat(http, **{f"field{i}": i for i in range(1000)})
    assert many.headers["x-llms-ignored"].endswith("and-980-more")


def test_strict_callers_hear_of_it_as_an_error(http: httpx.Client) -> None:
    body = {"messages": user("x"), "colour": "red"}
    response = http.post(CHAT, json=body, headers={"x-llms-strict": "true"})
    assert response.status_code == 400
    assert error_of(response)["param"] == "colour"


def test_metadata_without_an_entry_asks_for_nothing(http: httpx.Client) -> None:
    strict = {"x-llms-strict": "true"}
    for path, body in ((CHAT, {"messages": user("x")}), ("/v1/tokenize", {"prompt": "x"})):
        empty = http.post(path, json=body | {"metadata": {}}, headers=strict)
        assert empty.status_code == 200
        assert "x-llms-ignored" not in empty.headers
        some = http.post(path, json=body | {"metadata": {"a": "b"}}, headers=strict)
        assert error_of(some)["param"] == "metadata"


def test_a_model_that_did_not_load_is_unavailable(http: httpx.Client) -> None:
    response = chat(http, model="echo-broken", stream=True)
    assert response.status_code == 503
    error = error_of(response)
    assert (error["type"], error["code"]) == ("server_error", "model_unavailable")
    assert 1 <= int(response.headers["retry-after"]) <= 120


def test_every_answer_has_an_id_of_ours(http: httpx.Client) -> None:
    found = [http.get(path, headers={"x-request-id": "mine"}) for path in ("/v1/models", "/v1/x")]
    ids = {response.headers["x-request-id"] for response in found}
    assert len(ids) == 2 and all(each.startswith("req_") for each in ids)
    assert all(response.headers["openai-processing-ms"].isdigit() for response in found)


def test_the_client_raises_its_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="echo", messages=user("x"), n=500)
    assert caught.value.param == "n"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=user("x"))


def test_a_callers_own_limit_is_told_in_openais_headers(make_server: MakeServer) -> None:
    """Two places in the queue while the model loads; the third request is one too many."""
    server = make_server({"ACCOUNT_QUEUE_LIMIT": "2"})
    body = {"model": "echo-late", "prompt": "x"}
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(httpx.post, f"{server.url}{TEXT}", json=body) for _ in range(3)]
        found = sorted((each.result() for each in asked), key=lambda each: each.status_code)
    assert [response.status_code for response in found] == [200, 200, 429]
    assert error_of(found[2])["code"] == "rate_limit_exceeded"
    headers = found[2].headers
    assert headers["x-ratelimit-limit-requests"] == "2"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == f"{headers['retry-after']}s"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_tells_how_many_places_are_left(turns: RunningServer, stream: bool) -> None:
    key = {"authorization": f"Bearer {make_key(turns, f'limits-{stream}')}"}
    # Not `left`: at the end of its turn newcomers wait, and would count themselves.
    body = {"model": "small", "prompt": "one", "stream": stream}

    def told() -> tuple[str, ...]:
        headers = httpx.post(f"{turns.url}{TEXT}", json=body, headers=key, timeout=30).headers
        names = ("limit", "remaining", "reset")
        return tuple(headers[f"x-ratelimit-{name}-requests"] for name in names)

    with ThreadPoolExecutor(1) as pool:
        assert told() == ("200", "200", "0s")
        with busy(turns):
            waits = {"model": "right", "messages": user("one"), "stream": True}
            url = f"{turns.url}{CHAT}"
            asked = pool.submit(httpx.post, url, json=waits, headers=key, timeout=30)
            wait_until(lambda: turns.model("right")["waiting"] == 1)
            limit, remaining, reset = told()
            assert (limit, remaining) == ("200", "199")
            assert re.fullmatch(r"(\d+m)?\d+m?s", reset) and reset != "0s"
        assert asked.result().status_code == 200
        assert told() == ("200", "200", "0s")


def test_what_asks_no_model_has_no_limit_to_tell(http: httpx.Client) -> None:
    for path in ("/v1/models", "/v1/models/echo", "/v1/queue", "/v1/status"):
        found = http.get(path).headers
        assert not [name for name in found if name.startswith("x-ratelimit")], path
