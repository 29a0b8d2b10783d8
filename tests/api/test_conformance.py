"""Answers against the types of OpenAI's own client, strictly."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from openai import BaseModel
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject

from tests.api.asking import chat, events, text
from tests.servers import RunningServer


def conforms(body: Any, kind: type[BaseModel]) -> None:
    """Fail unless `body` is what OpenAI's own client takes, with no type bent to fit."""
    found = kind.model_validate(body, strict=True)
    assert found.to_dict(mode="json") == body


VARIANTS: list[dict[str, Any]] = [
    {},
    {"n": 2},
    {"logprobs": True, "top_logprobs": 2},
    {"max_tokens": 1},
]


@pytest.mark.parametrize("more", VARIANTS)
def test_chat_answers_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    body = chat(http, **more).json()
    conforms(body, ChatCompletion)


@pytest.mark.parametrize("more", VARIANTS)
def test_chat_chunks_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, done = events(chat(http, **more, **options))
    assert done == "[DONE]"
    for chunk in chunks:
        conforms(chunk, ChatCompletionChunk)


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"logprobs": 2}, {"echo": True}])
def test_completions_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    body = text(http, **more).json()
    conforms(body, Completion)


def test_completion_chunks_conform(http: httpx.Client) -> None:
    *chunks, done = events(text(http, stream=True, stream_options={"include_usage": True}))
    assert done == "[DONE]"
    for chunk in chunks:
        # OpenAI sends null in all chunks but the last; its client's type forgets that.
        choices = [c | {"finish_reason": c["finish_reason"] or "stop"} for c in chunk["choices"]]
        conforms(chunk | {"choices": choices}, Completion)


def test_models_conform(http: httpx.Client) -> None:
    for one in (*http.get("/v1/models").json()["data"], http.get("/v1/models/echo").json()):
        conforms(one, Model)


def test_errors_conform(http: httpx.Client) -> None:
    for response in (http.get("/v1/nothing"), chat(http, n=0), chat(http, model="x")):
        conforms(response.json()["error"], ErrorObject)


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}},
    },
}


@pytest.mark.engine
@pytest.mark.parametrize(
    "more",
    [
        {"tools": [TOOL], "tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        {"functions": [TOOL["function"]], "function_call": {"name": "get_weather"}},
        {"logprobs": True, "top_logprobs": 3, "n": 2},
    ],
    ids=["required", "named", "older", "logprobs"],
)
def test_a_real_engines_answers_conform(
    pocket_server: RunningServer, http: httpx.Client, more: dict[str, Any]
) -> None:
    given = {"model": "pocket", "max_tokens": 40} | more
    conforms(chat(http, **given).json(), ChatCompletion)
    for chunk in events(chat(http, stream=True, **given))[:-1]:
        conforms(chunk, ChatCompletionChunk)
