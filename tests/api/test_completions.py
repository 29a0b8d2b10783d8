"""/v1/completions: the seed's endpoint."""

from __future__ import annotations

import subprocess

import httpx
import pytest
from openai import OpenAI

from tests.api.asking import TEXT, error_of, events, text
from tests.servers import RunningServer


def test_the_curl_line_works_as_it_stands(server: RunningServer) -> None:
    """No model, no key, and curl's own content type."""
    body = '{"prompt": "What is the capital of France?", "echo": true}'
    command = ["curl", "-s", f"{server.url}/v1/completions", "-d", body]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '"text":"What is the capital of France?0:What 1:is' in said


def test_a_prompt_is_completed(client: OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt="one two")
    assert answer.choices[0].text == "0:one 1:two "
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.usage is not None and answer.usage.total_tokens == 4


def test_sixteen_tokens_are_the_default(http: httpx.Client) -> None:
    choice = text(http, prompt="w " * 20).json()["choices"][0]
    assert len(choice["text"].split()) == 16
    assert choice["finish_reason"] == "length"


def test_a_stream_ends_with_its_reason(client: OpenAI) -> None:
    chunks = list(client.completions.create(model="echo", prompt="one two", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "0:one 1:two "
    assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("one", ["0:one "]),
        (["one", "two"], ["0:one ", "0:two "]),
        ([5, 6], ["0:5 1:6 "]),
        ([[5], [6, 7]], ["0:5 ", "0:6 1:7 "]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_prompts_come_in_four_forms(
    http: httpx.Client, prompt: object, texts: list[str], stream: bool
) -> None:
    response = text(http, prompt=prompt, stream=stream)
    found = [""] * len(texts)
    bodies = events(response)[:-1] if stream else [response.json()]
    for choice in (choice for body in bodies for choice in body["choices"]):
        found[choice["index"]] += choice["text"]
    assert found == texts


def test_several_prompts_and_several_answers_are_numbered_through(http: httpx.Client) -> None:
    body = text(http, prompt=["one", "two"], n=2).json()
    assert [(c["index"], c["text"]) for c in body["choices"]] == [
        (0, "0:one "),
        (1, "0:one "),
        (2, "0:two "),
        (3, "0:two "),
    ]
    assert body["usage"]["completion_tokens"] == 4


def test_more_prompts_than_places_are_all_answered(http: httpx.Client) -> None:
    prompts = [f"p{i}" for i in range(100)]
    choices = text(http, prompt=prompts).json()["choices"]
    assert [choice["text"] for choice in choices] == [f"0:{prompt} " for prompt in prompts]


@pytest.mark.parametrize("stream", [False, True])
def test_echo_puts_the_prompt_first(http: httpx.Client, stream: bool) -> None:
    response = text(http, prompt=["one two", "x"], echo=True, n=2, stream=stream)
    found = [""] * 4
    bodies = events(response)[:-1] if stream else [response.json()]
    for choice in (choice for body in bodies for choice in body["choices"]):
        found[choice["index"]] += choice["text"]
    assert found == ["one two0:one 1:two "] * 2 + ["x0:x "] * 2


def test_echo_alone_gives_the_prompt_and_its_logprobs(http: httpx.Client) -> None:
    choice = text(http, echo=True, max_tokens=0, logprobs=1).json()["choices"][0]
    assert choice["text"] == "one two three"
    assert choice["logprobs"]["token_logprobs"] == [None, 0.0, 0.0]
    assert len(choice["logprobs"]["tokens"]) == len(choice["logprobs"]["text_offset"]) == 3


def test_logprobs_of_a_stream_go_on_where_they_were(http: httpx.Client) -> None:
    whole = text(http, logprobs=2).json()["choices"][0]["logprobs"]
    pieces = [e["choices"][0]["logprobs"] for e in events(text(http, logprobs=2, stream=True))[:-1]]
    for name in ("tokens", "text_offset", "token_logprobs", "top_logprobs"):
        assert [value for piece in pieces for value in piece[name]] == whole[name]
    assert whole["text_offset"] == [0, 6, 12]


def test_best_of_returns_n_and_charges_for_all(http: httpx.Client) -> None:
    body = text(http, best_of=4, n=2).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1]
    assert body["choices"][0]["logprobs"] is None
    assert body["usage"]["completion_tokens"] == 12


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 3, "stream": True}, "best_of"),
        ({"suffix": "the end"}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": [1, "a"]}, "prompt[1]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"prompt": [2**31]}, "prompt[0]"),
        ({"prompt": [True]}, "prompt[0]"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": [2**30]}, "prompt"),
        ({"prompt": ["x"] * 100_000}, "prompt"),
        ({"prompt": [1] * 1_000_000}, "prompt"),
        ({"prompt": ["x"] * 100, "n": 100}, "prompt"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 1000}, "logprobs"),
    ],
)
def test_what_cannot_be_done_names_its_parameter(
    http: httpx.Client, more: dict[str, object], param: str
) -> None:
    response = text(http, **more)
    assert response.status_code == 400
    assert error_of(response)["param"] == param


def test_a_prompt_is_needed(http: httpx.Client) -> None:
    response = http.post(TEXT, json={})
    assert error_of(response)["code"] == "missing_required_parameter"


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context_is_refused_before_the_stream(
    http: httpx.Client, stream: bool
) -> None:
    response = text(http, prompt="w " * 3000, stream=stream)
    assert response.status_code == 400
    assert error_of(response)["code"] == "context_length_exceeded"


def test_the_engines_route_takes_the_model_from_the_path(http: httpx.Client) -> None:
    response = http.post("/v1/engines/echo/completions", json={"prompt": "one"})
    assert response.json()["choices"][0]["text"] == "0:one "
    missing = http.post("/v1/engines/a/b/completions", json={"prompt": "one"})
    assert missing.status_code == 404 and error_of(missing)["code"] == "model_not_found"
