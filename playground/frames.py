"""What a browser may say over the chat websocket, checked and turned into requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from inference import requests
from playground.answers import Place
from playground.api.serializers import ChatCompletionSerializer
from playground.errors import BadValue

MAX_ID = 64
SESSION = re.compile(r"[A-Za-z0-9_-]{22,64}", re.ASCII)
MAX_PLACE = 2**31
# Parameters of the API that mean nothing here, where there is one answer and it always streams.
NOT_HERE = frozenset(
    {"best_of", "logprobs", "messages", "model", "n", "stream", "stream_options", "top_logprobs"}
)


def reply_id(frame: Mapping[str, Any]) -> str:
    """The id that the page gave to its question; every frame of the answer carries it."""
    found = _string(frame.get("id"), "id")
    if not 1 <= len(found) <= MAX_ID:
        raise BadValue(f"'id' must have 1 to {MAX_ID} characters.", "id")
    return found


def session(frame: Mapping[str, Any]) -> str:
    """The secret by which a page is known again when it comes back."""
    found = _string(frame.get("session"), "session")
    if not SESSION.fullmatch(found):
        raise BadValue("'session' must be 22 to 64 letters, digits, - or _.", "session")
    return found


def place(frame: Mapping[str, Any]) -> Place:
    """How far a page has read of an answer."""
    found = frame.get("at")
    numbers = found if isinstance(found, list) else []
    fits = all(type(each) is int and 0 <= each < MAX_PLACE for each in numbers)
    if not fits or len(numbers) != len(Place()):
        raise BadValue("'at' must be the three numbers of the last frame.", "at")
    return Place(*numbers)


def chat_request(frame: Mapping[str, Any], account: str) -> requests.GenerateRequest:
    """The question in a "chat" frame: the parameters are those of POST /v1/chat/completions."""
    params = frame.get("params", {})
    if not isinstance(params, dict):
        raise BadValue("'params' must be an object.", "params")
    if wrong := params.keys() & NOT_HERE:
        raise BadValue(f"There is no parameter '{min(wrong)}' here.", "params")
    model = _string(frame.get("model", ""), "model")
    body = {**params, "model": model, "messages": frame.get("messages")}
    [request] = ChatCompletionSerializer.shared().to_call(body, strict=True).requests
    _refuse_addresses(request.messages or ())
    return requests.GenerateRequest(
        model=model,
        messages=request.messages,
        sampling=request.sampling,
        account=account,
        tools=request.tools,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        chat_template_kwargs=request.chat_template_kwargs,
    )


def _refuse_addresses(messages: Sequence[requests.Message]) -> None:
    """A page sends its pictures; it has nothing fetched for it."""
    for i, message in enumerate(messages):
        for k, part in enumerate(() if isinstance(message.content, str) else message.content or ()):
            if part["type"] == "image_url" and not part["image_url"]["url"].startswith("data:"):
                param = f"messages[{i}].content[{k}].image_url.url"
                raise BadValue(f"'{param}' must be a data: URL.", param, "invalid_image_url")


def _string(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise BadValue(f"'{param}' must be a string.", param)
    return value
