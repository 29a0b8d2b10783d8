"""What a page may say: everything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from inference import requests
from playground import frames
from playground.errors import BadValue

QUESTION = [{"role": "user", "content": "hello"}]


def test_question_becomes_a_request() -> None:
    frame = {
        "model": "echo",
        "messages": [{"role": "system", "content": "Be brief."}, *QUESTION],
        "params": {"temperature": 0.5, "max_tokens": 7},
    }
    request = frames.chat_request(frame, "user:1")
    assert request.account == "user:1"
    assert request.messages == (
        requests.Message("system", "Be brief."),
        requests.Message("user", "hello"),
    )
    assert request.sampling == requests.SamplingParams(temperature=0.5, max_tokens=7)


def test_pictures_tools_and_a_schema_are_read_as_the_api_reads_them() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    tool = {"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}}
    frame = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "?"}, picture]}],
        "params": {"tools": [tool], "tool_choice": "required"},
    }
    request = frames.chat_request(frame, "user:1")
    assert request.messages is not None and request.messages[0].content[1] == picture  # type: ignore[index]
    assert (request.tools, request.tool_choice) == ((tool,), "required")


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        ({"messages": QUESTION, "model": 3}, "model"),
        ({"messages": QUESTION, "model": None}, "model"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "hello"}]}, "messages[0].role"),
        ({"messages": QUESTION, "params": []}, "params"),
        ({"messages": QUESTION, "params": {"heat": 1}}, "heat"),
        ({"messages": QUESTION, "params": {"n": 2}}, "params"),
        ({"messages": QUESTION, "params": {"messages": []}}, "params"),
        ({"messages": QUESTION, "params": {"temperature": 2.1}}, "temperature"),
        ({"messages": QUESTION, "params": {"max_tokens": 10**400}}, "max_tokens"),
    ],
)
def test_wrong_field_is_refused_by_name(frame: dict[str, Any], param: str) -> None:
    with pytest.raises(BadValue) as caught:
        frames.chat_request(frame, "ip:127.0.0.1")
    assert caught.value.param == param


def test_nothing_is_fetched_for_a_page(settings: Any) -> None:
    settings.REMOTE_MEDIA = True
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}
    with pytest.raises(BadValue) as caught:
        frames.chat_request({"messages": [{"role": "user", "content": [picture]}]}, "user:1")
    assert caught.value.code == "invalid_image_url"


@pytest.mark.parametrize("frame", [{}, {"id": ""}, {"id": 1}, {"id": "x" * 65}])
def test_answer_needs_a_short_id(frame: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        frames.reply_id(frame)


@pytest.mark.parametrize("session", [None, "", "x" * 21, "x" * 65, "é" * 30, " " * 30])
def test_session_is_a_long_plain_secret(session: object) -> None:
    with pytest.raises(BadValue):
        frames.session({"session": session})


@pytest.mark.parametrize("at", [None, [], [1, 2], [1, 2, -1], [1, 2, True], [1, 2, 2.0], "123"])
def test_place_is_three_numbers(at: object) -> None:
    with pytest.raises(BadValue):
        frames.place({"at": at})
