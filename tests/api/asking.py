"""Short ways to say what many tests of the API say."""

from __future__ import annotations

import json
from typing import Any

import httpx

CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


def user(text: str) -> list[dict[str, Any]]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def chat(http: httpx.Client, **more: Any) -> httpx.Response:
    """A chat completion of a short message."""
    return http.post(CHAT, json={"messages": user("one two three")} | more)


def text(http: httpx.Client, **more: Any) -> httpx.Response:
    """A completion of a short prompt."""
    return http.post(TEXT, json={"prompt": "one two three"} | more)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error object; fails when the body is anything else."""
    body = response.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"message", "type", "param", "code"}, body
    assert body["error"]["message"]
    assert response.headers["content-type"] == "application/json"
    return dict(body["error"])


def events(response: httpx.Response) -> list[Any]:
    """The data of a stream in order; `[DONE]` stays a word."""
    lines = [line for line in response.text.split("\n") if line.startswith("data: ")]
    found = [line.removeprefix("data: ") for line in lines]
    return [each if each == "[DONE]" else json.loads(each) for each in found]
