"""What a browser may say over the chat websocket, checked and turned into requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from inference import requests
from playground.errors import BadBody, BadValue

MAX_ID = 64
MAX_MESSAGES = 2000
ROLES = ("system", "user", "assistant")
# Knobs that are numbers, with the values they may take.
FLOATS: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}
INTEGERS: Mapping[str, tuple[int, int]] = {
    "max_tokens": (1, 2**31 - 1),
    "seed": (0, 2**63 - 1),
}
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(text: str) -> dict[str, Any]:
    """The JSON object in a frame."""
    try:
        frame = json.loads(text, parse_constant=_refuse_constant)
    # json gives up on deep nesting with a RecursionError.
    except (ValueError, RecursionError) as exc:
        raise BadBody("The message is not valid JSON.") from exc
    if not isinstance(frame, dict):
        raise BadBody("The message must be a JSON object.")
    return frame


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def reply_id(frame: Mapping[str, Any]) -> str:
    """The id that the page gave to its question; every frame of the answer carries it."""
    found = _string(frame.get("id"), "id")
    if not 1 <= len(found) <= MAX_ID:
        raise BadValue(f"'id' must have 1 to {MAX_ID} characters.", "id")
    return found


def chat_request(frame: Mapping[str, Any], account: str) -> requests.GenerateRequest:
    """The question in a "chat" frame."""
    return requests.GenerateRequest(
        model=_string(frame.get("model", ""), "model"),
        messages=_messages(frame.get("messages")),
        sampling=_sampling(frame.get("params", {})),
        account=account,
    )


def _messages(value: object) -> tuple[requests.Message, ...]:
    if not isinstance(value, list):
        raise BadValue("'messages' must be a list.", "messages")
    if not 1 <= len(value) <= MAX_MESSAGES:
        raise BadValue(f"'messages' must hold 1 to {MAX_MESSAGES} messages.", "messages")
    return tuple(_message(item, f"messages.{place}") for place, item in enumerate(value))


def _message(value: object, param: str) -> requests.Message:
    if not isinstance(value, dict):
        raise BadValue(f"'{param}' must be an object.", param)
    role = value.get("role")
    if role not in ROLES:
        raise BadValue(f"'{param}.role' must be one of {', '.join(ROLES)}.", f"{param}.role")
    content = _string(value.get("content"), f"{param}.content")
    if extra := value.keys() - {"role", "content"}:
        raise BadValue(f"'{param}' takes no field {min(extra)!r}.", param)
    return requests.Message(role=role, content=content)


def _sampling(value: object) -> requests.SamplingParams:
    if not isinstance(value, dict):
        raise BadValue("'params' must be an object.", "params")
    return requests.SamplingParams(**{name: _knob(name, item) for name, item in value.items()})


def _knob(name: str, value: object) -> float | int | None:
    param = f"params.{name}"
    if name in INTEGERS:
        allowed, kinds, word = INTEGERS[name], (int,), "an integer"
    elif name in FLOATS:
        allowed, kinds, word = FLOATS[name], (int, float), "a number"
    else:
        raise BadValue(f"There is no parameter {name[:MAX_ID]!r} here.", "params")
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise BadValue(f"'{param}' must be {word}.", param)
    if not allowed[0] <= value <= allowed[1]:
        raise BadValue(f"'{param}' must be {word} in {allowed[0]} to {allowed[1]}.", param)
    return value


def _string(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise BadValue(f"'{param}' must be a string.", param)
    # JSON can spell half a surrogate pair, which no tokenizer and no frame can carry.
    if _SURROGATE.search(value):
        raise BadValue(f"'{param}' is not valid Unicode.", param)
    return value
