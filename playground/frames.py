"""What a browser may say over the chat websocket, checked and turned into requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn, cast

from inference import requests
from playground.errors import BadBody, BadValue

MAX_ID = 64
MAX_MESSAGES = 2000
ROLES = ("system", "user", "assistant")


class Knob(NamedTuple):
    """A parameter that a page may set."""

    kinds: tuple[type, ...]
    least: float
    most: float

    def __str__(self) -> str:
        word = "a number" if float in self.kinds else "an integer"
        return f"{word} from {self.least} to {self.most}"


NUMBER, INTEGER = (int, float), (int,)
KNOBS: Mapping[str, Knob] = {
    "temperature": Knob(NUMBER, 0, 2),
    "top_p": Knob(NUMBER, 0, 1),
    "presence_penalty": Knob(NUMBER, -2, 2),
    "frequency_penalty": Knob(NUMBER, -2, 2),
    "max_tokens": Knob(INTEGER, 1, 2**31 - 1),
    "seed": Knob(INTEGER, 0, 2**63 - 1),
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
    knobs: dict[str, Any] = {name: _knob(name, item) for name, item in value.items()}
    return requests.SamplingParams(**knobs)


def _knob(name: str, value: object) -> float:
    knob = KNOBS.get(name)
    if knob is None:
        raise BadValue(f"There is no parameter {name[:MAX_ID]!r} here.", "params")
    fits = isinstance(value, knob.kinds) and not isinstance(value, bool)
    if not fits or not knob.least <= cast(float, value) <= knob.most:
        raise BadValue(f"'params.{name}' must be {knob}.", f"params.{name}")
    return cast(float, value)


def _string(value: object, param: str) -> str:
    if not isinstance(value, str):
        raise BadValue(f"'{param}' must be a string.", param)
    # JSON can spell half a surrogate pair, which no tokenizer and no frame can carry.
    if _SURROGATE.search(value):
        raise BadValue(f"'{param}' is not valid Unicode.", param)
    return value
