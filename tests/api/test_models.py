"""/v1/models and its older name, /v1/engines."""

from __future__ import annotations

import json
from http.client import HTTPConnection

import httpx
import openai
import pytest
from openai import OpenAI

from tests.api.asking import chat, error_of
from tests.servers import ROOT, RunningServer


def test_every_card_is_listed(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert "echo" in ids and "pocket" in ids


def test_a_model_tells_how_it_is_doing(http: httpx.Client) -> None:
    body = http.get("/v1/models/echo").json()
    assert (body["object"], body["id"]) == ("model", "echo")
    assert isinstance(body["created"], int)
    assert body["llms"]["state"] == "ready"
    assert body["llms"]["max_model_len"] == 2048
    assert body["llms"]["default"] is True
    assert {"tier", "running", "waiting", "capabilities"} <= set(body["llms"])


def test_a_model_tells_what_its_parameters_do(http: httpx.Client) -> None:
    told = http.get("/v1/models/pocket").json()["llms"]
    assert set(told["parameters"]) == set(told["supported_parameters"])
    heat = told["parameters"]["temperature"]
    assert heat["description"].startswith("How freely tokens are drawn")
    assert (heat["type"], heat["minimum"], heat["maximum"]) == ("number", 0, 2)
    # Its own generation_config says so.
    said = json.loads((ROOT / "inference/pocket/model/generation_config.json").read_text())
    assert heat["default"] == said.get("temperature", 1)
    assert "temperature" not in http.get("/v1/models/echo").json()["llms"]["parameters"]


UNSUPPORTED_BY_ECHO = {
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "response_format": {"type": "json_object"},
    "structured_outputs": {"regex": "a"},
}


@pytest.mark.parametrize("name", UNSUPPORTED_BY_ECHO)
def test_a_parameter_that_is_not_listed_is_refused(http: httpx.Client, name: str) -> None:
    listed = http.get("/v1/models/echo").json()["llms"]["supported_parameters"]
    assert {"messages", "prompt", "max_tokens", "stream"} <= set(listed)
    assert name not in listed
    answer = chat(http, **{name: UNSUPPORTED_BY_ECHO[name]})
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "unsupported_parameter"


def test_an_engine_that_can_do_all_lists_all(http: httpx.Client) -> None:
    listed = set(http.get("/v1/models/pocket").json()["llms"]["supported_parameters"])
    assert {*UNSUPPORTED_BY_ECHO, "temperature", "logit_bias", "best_of"} <= listed
    assert not {"suffix", "audio", "user", "store", "metadata"} & listed


def test_a_model_lists_what_its_task_takes(http: httpx.Client) -> None:
    def listed(name: str) -> set[str]:
        return set(http.get(f"/v1/models/{name}").json()["llms"]["supported_parameters"])

    pairs = {"query", "documents", "top_n", "text_1", "text_2", "truncate_prompt_tokens"}
    tokens = {"prompt", "return_token_strs", "tokens"}
    vectors = {"input", "dimensions", "encoding_format"}
    assert vectors | pairs | tokens <= listed("echo-embed")
    assert pairs | tokens <= listed("echo-rerank")
    assert tokens <= listed("echo")
    assert not vectors & listed("echo-rerank") and not (vectors | pairs) & listed("echo")
    assert not {"stream", "max_tokens", "n", "user"} & (
        listed("echo-embed") | listed("echo-rerank")
    )


def test_an_alias_leads_to_its_model(client: OpenAI) -> None:
    assert client.models.retrieve("gpt-test").id == "echo"


def test_an_unknown_model_is_the_clients_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nope")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "name",
    [
        "a/b/c",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "a%00b",
        "a%0Ab",
        "%ff%fe",
        "%F0%9F%A6%99",
        "x" * 10_000,
        "'; DROP TABLE models; --",
    ],
)
@pytest.mark.parametrize("route", ["models", "engines"])
def test_odd_names_are_unknown_models(http: httpx.Client, route: str, name: str) -> None:
    response = http.get(f"/v1/{route}/{name}")
    assert response.status_code == 404
    assert error_of(response)["code"] == "model_not_found"
    assert len(response.text) < 1000


@pytest.mark.parametrize("route", ["models", "engines"])
def test_dots_do_not_climb(server: RunningServer, route: str) -> None:
    # httpx would tidy the dots away before it sends them.
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"/v1/{route}/../../etc/passwd")
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert (response.status, body["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("name", ["../../etc/passwd", "a\0b", "x" * 10_000, "pocket/../echo"])
def test_odd_names_in_a_body_are_unknown_models(http: httpx.Client, name: str) -> None:
    body = {"model": name, "prompt": "x"}
    response = http.post("/v1/completions", json=body)
    assert response.status_code == 404
    error = error_of(response)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_engines_are_models_in_older_words(http: httpx.Client) -> None:
    listed = http.get("/v1/engines").json()["data"]
    one = http.get("/v1/engines/echo").json()
    assert one in listed
    assert one == {"id": "echo", "object": "engine", "owner": "llms-for-all", "ready": True}
