"""/tokenize and /detokenize, in vLLM's shapes, with and without /v1."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.asking import chat, error_of, user
from tests.servers import RunningServer

PLACES = ["", "/v1"]


@pytest.mark.parametrize("place", PLACES)
def test_tokens_and_text_are_told_apart_from_nothing(http: httpx.Client, place: str) -> None:
    body = http.post(f"{place}/tokenize", json={"prompt": "12 7 9"}).json()
    assert body == {"count": 3, "max_model_len": 2048, "tokens": [12, 7, 9], "token_strs": None}
    back = http.post(f"{place}/detokenize", json={"tokens": body["tokens"]})
    assert back.json() == {"prompt": "12 7 9"}


def test_strings_of_tokens_come_if_asked_for(http: httpx.Client) -> None:
    body = http.post("/tokenize", json={"prompt": "one two", "return_token_strs": True}).json()
    assert body["token_strs"] == ["one", "two"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "prompt"),
        ({"prompt": ["x"]}, "prompt"),
        ({"prompt": "x" * 2_000_000}, "prompt"),
        ({"prompt": "x", "messages": user("x")}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": user("x"), "chat_template": "{{ x }}"}, "chat_template"),
        ({"messages": user("x"), "continue_final_message": True}, "continue_final_message"),
        ({"prompt": "x", "return_token_strs": "yes"}, "return_token_strs"),
    ],
)
def test_what_cannot_be_tokenized_names_its_parameter(
    http: httpx.Client, body: dict[str, Any], param: str
) -> None:
    response = http.post("/tokenize", json=body)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


@pytest.mark.parametrize(
    ("tokens", "param"),
    [
        (None, "tokens"),
        ([], "tokens"),
        ("12", "tokens"),
        ([-1], "tokens[0]"),
        ([1.5], "tokens[0]"),
        ([2**31], "tokens[0]"),
        ([2**30], "tokens"),
        ([1] * 1_000_000, "tokens"),
    ],
)
def test_what_is_no_token_names_its_parameter(
    http: httpx.Client, tokens: object, param: str
) -> None:
    response = http.post("/detokenize", json={"tokens": tokens})
    assert response.status_code == 400
    assert error_of(response)["param"] == param


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize", "/tokenize/"])
def test_a_wrong_method_is_openais_error_outside_of_v1_too(http: httpx.Client, path: str) -> None:
    response = http.get(path)
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_supported"


@pytest.mark.engine
@pytest.mark.parametrize("place", PLACES)
def test_a_real_model_says_its_own_tokens(pocket_server: RunningServer, place: str) -> None:
    with httpx.Client(base_url=pocket_server.url + place, timeout=30) as http:
        said = "What is the capital of Fränce? 🦙"
        body = http.post(
            "/tokenize", json={"model": "pocket", "prompt": said, "return_token_strs": True}
        ).json()
        assert body["count"] == len(body["tokens"]) == len(body["token_strs"]) > 5
        assert body["max_model_len"] == pocket_server.model("pocket")["max_model_len"]
        back = http.post("/detokenize", json={"model": "pocket", "tokens": body["tokens"]})
        assert back.json() == {"prompt": said}


@pytest.mark.engine
def test_a_conversation_has_as_many_tokens_as_it_is_charged_for(
    pocket_server: RunningServer,
) -> None:
    with httpx.Client(base_url=pocket_server.url, timeout=60) as http:
        asked = {"model": "pocket", "messages": user("Hello there")}
        body = http.post("/tokenize", json=asked).json()
        charged = chat(http, **asked, max_tokens=1).json()["usage"]["prompt_tokens"]
        assert body["count"] == charged
        bare = http.post("/tokenize", json=asked | {"add_generation_prompt": False}).json()
        assert bare["count"] < body["count"]


@pytest.mark.engine
def test_a_text_longer_than_the_context_is_counted(pocket_server: RunningServer) -> None:
    with httpx.Client(base_url=pocket_server.url, timeout=60) as http:
        asked = {"model": "pocket", "prompt": "one two three " * 20_000}
        body = http.post("/tokenize", json=asked).json()
        assert body["count"] > body["max_model_len"]
        beyond = http.post("/detokenize", json={"model": "pocket", "tokens": [2**30]})
        assert error_of(beyond)["param"] == "tokens"
        empty = http.post("/tokenize", json={"model": "pocket", "prompt": ""})
        assert empty.status_code in (200, 400)
