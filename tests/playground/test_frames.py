"""What a page may say: everything else is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from inference import requests
from playground import frames
from playground.errors import BadBody, BadValue

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


@pytest.mark.parametrize(
    ("frame", "param"),
    [
        ({"messages": QUESTION, "model": 3}, "model"),
        ({"messages": QUESTION, "model": None}, "model"),
        ({"messages": QUESTION, "model": "\ud800"}, "model"),
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": QUESTION * (frames.MAX_MESSAGES + 1)}, "messages"),
        ({"messages": ["hello"]}, "messages.0"),
        ({"messages": [*QUESTION, {"role": "user", "content": None}]}, "messages.1.content"),
        ({"messages": [{"role": "user", "content": "\udfff"}]}, "messages.0.content"),
        ({"messages": [{"role": "robot", "content": "hello"}]}, "messages.0.role"),
        ({"messages": [{"role": ["user"], "content": "hello"}]}, "messages.0.role"),
        ({"messages": [{**QUESTION[0], "name": "x"}]}, "messages.0"),
        ({"messages": QUESTION, "params": []}, "params"),
        ({"messages": QUESTION, "params": {"heat": 1}}, "params"),
        ({"messages": QUESTION, "params": {"temperature": 2.1}}, "params.temperature"),
        ({"messages": QUESTION, "params": {"temperature": "hot"}}, "params.temperature"),
        ({"messages": QUESTION, "params": {"temperature": True}}, "params.temperature"),
        ({"messages": QUESTION, "params": {"top_p": -0.1}}, "params.top_p"),
        ({"messages": QUESTION, "params": {"max_tokens": 0}}, "params.max_tokens"),
        ({"messages": QUESTION, "params": {"max_tokens": 1.5}}, "params.max_tokens"),
        ({"messages": QUESTION, "params": {"max_tokens": 10**400}}, "params.max_tokens"),
    ],
)
def test_wrong_field_is_refused_by_name(frame: dict[str, Any], param: str) -> None:
    with pytest.raises(BadValue) as caught:
        frames.chat_request(frame, "ip:127.0.0.1")
    assert caught.value.param == param


@pytest.mark.parametrize("text", ["", "{", "null", "[]", '"x"', "Infinity", '{"a": ' * 50_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadBody):
        frames.decode(text)


@pytest.mark.parametrize("frame", [{}, {"id": ""}, {"id": 1}, {"id": "x" * 65}])
def test_answer_needs_a_short_id(frame: dict[str, Any]) -> None:
    with pytest.raises(BadValue):
        frames.reply_id(frame)
