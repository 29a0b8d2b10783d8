"""Answers against OpenAI's own description and against the types of its client, strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.api.asking import chat, events, text

SCHEMAS = json.loads(Path(__file__).with_name("openai_schemas.json").read_text())


def conforms(body: Any, name: str) -> None:
    """Fail unless `body` is what OpenAI's document says."""
    root = SCHEMAS | {"$ref": f"#/components/schemas/{name}"}
    Draft202012Validator(root).validate(body)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"n": 2},
    {"logprobs": True, "top_logprobs": 2},
    {"max_tokens": 1},
]


@pytest.mark.parametrize("more", VARIANTS)
def test_chat_answers_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    body = chat(http, **more).json()
    conforms(body, "CreateChatCompletionResponse")
    ChatCompletion.model_validate(body, strict=True)


@pytest.mark.parametrize("more", VARIANTS)
def test_chat_chunks_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, done = events(chat(http, **more, **options))
    assert done == "[DONE]"
    for chunk in chunks:
        conforms(chunk, "CreateChatCompletionStreamResponse")
        ChatCompletionChunk.model_validate(chunk, strict=True)


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"logprobs": 2}, {"echo": True}])
def test_completions_conform(http: httpx.Client, more: dict[str, Any]) -> None:
    body = text(http, **more).json()
    conforms(body, "CreateCompletionResponse")
    Completion.model_validate(body, strict=True)


def test_models_conform(http: httpx.Client) -> None:
    conforms(http.get("/v1/models").json(), "ListModelsResponse")
    one = http.get("/v1/models/echo").json()
    conforms(one, "Model")
    Model.model_validate(one, strict=True)


def test_errors_conform(http: httpx.Client) -> None:
    for response in (http.get("/v1/nothing"), chat(http, n=0), chat(http, model="x")):
        conforms(response.json(), "ErrorResponse")
