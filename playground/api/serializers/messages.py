"""The messages of a chat: every role, text or content parts, calls and results of tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from inference.errors import UnsupportedParameter
from inference.requests import Message

from .. import checks
from ..pictures import MAX_ADDRESS, is_remote
from .structured import tool_name

MAX_MESSAGES = 2048
MAX_PARTS = 1024
MAX_CALLS = 128
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# Pictures inside the request. Addresses make this server fetch what they name: `..pictures`.
PICTURE = re.compile(r"data:image/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+={0,2}")
SOUND = re.compile(r"[A-Za-z0-9+/]+={0,2}")
SOUND_FORMATS = ("wav", "mp3")


def messages(value: Any, param: str) -> tuple[Message, ...]:
    """The whole conversation."""
    found = checks.array(value, param, MAX_MESSAGES, 1)
    return tuple(_message(each, f"{param}[{i}]") for i, each in enumerate(found))


def _message(value: Any, param: str) -> Message:
    given = checks.mapping(value, param, 32)
    if "role" not in given:
        checks.missing(f"{param}.role")
    role = checks.one_of(given["role"], f"{param}.role", ROLES)
    name = given.get("name")
    if name is not None:
        checks.text(name, f"{param}.name", 64)
    if role == "assistant":
        return _assistant(given, name, param)
    if "content" not in given:
        checks.missing(f"{param}.content")
    content = _content(given["content"], f"{param}.content", role)
    if role in ("tool", "function"):
        return Message("tool", content, name, tool_call_id=_call_id(given, role, param))
    # Templates of open models know no developer; it is OpenAI's newer word for system.
    return Message("system" if role == "developer" else role, content, name)


def _assistant(given: Mapping[str, Any], name: str | None, param: str) -> Message:
    content, calls = given.get("content"), _calls(given, param)
    if content is None and not calls and given.get("refusal") is None:
        if "content" not in given:
            checks.missing(f"{param}.content")
        checks.wrong_type(f"{param}.content", "a string or an array of content parts", None)
    if content is None and given.get("refusal") is not None:
        content = checks.text(given["refusal"], f"{param}.refusal")
    if content is not None:
        content = _content(content, f"{param}.content", "assistant")
    reasoning = given.get("reasoning_content") or given.get("reasoning")
    if reasoning is not None:
        checks.text(reasoning, f"{param}.reasoning_content")
    return Message("assistant", content, name, reasoning, calls)


def _content(value: Any, param: str, role: str) -> str | tuple[dict[str, Any], ...]:
    """Text; several text parts become one text, as templates want it."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        checks.wrong_type(param, "a string or an array of content parts", value)
    parts = checks.array(value, param, MAX_PARTS, 1)
    found = tuple(_part(each, f"{param}[{i}]", role) for i, each in enumerate(parts))
    if all(part["type"] == "text" for part in found):
        return "\n".join(part["text"] for part in found)
    return found


def _part(value: Any, param: str, role: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 16)
    kind = checks.one_of(given.get("type"), f"{param}.type", PARTS)
    if kind not in given:
        checks.missing(f"{param}.{kind}")
    if kind in ("image_url", "input_audio") and role != "user":
        checks.bad(f"{param}.type", "only messages of the user may hold pictures and sounds.")
    return PARTS[kind](given[kind], f"{param}.{kind}")


def _text_part(value: Any, param: str) -> dict[str, Any]:
    return {"type": "text", "text": checks.text(value, param)}


def _picture(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 8)
    address = checks.text(given.get("url"), f"{param}.url", shortest=1)
    if is_remote(address):
        checks.text(address, f"{param}.url", MAX_ADDRESS)
    elif not PICTURE.fullmatch(address):
        reason = "expected a data: URL with a PNG, JPEG, WebP or GIF in base64."
        checks.bad(f"{param}.url", reason, "invalid_image_url")
    found = {"url": address}
    if given.get("detail") is not None:
        words = ("auto", "low", "high", "original")
        found["detail"] = checks.one_of(given["detail"], f"{param}.detail", words)
    return {"type": "image_url", "image_url": found}


def sound(value: Any, param: str) -> dict[str, Any]:
    """A sound inside the request, as OpenAI has it."""
    given = checks.mapping(value, param, 8)
    for key in ("data", "format"):
        if key not in given:
            checks.missing(f"{param}.{key}")
    form = checks.one_of(given["format"], f"{param}.format", SOUND_FORMATS)
    data = checks.text(given["data"], f"{param}.data", shortest=1)
    if not SOUND.fullmatch(data):
        checks.bad(f"{param}.data", "expected a WAV or MP3 in base64.")
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def _unsupported_part(value: Any, param: str) -> dict[str, Any]:
    raise UnsupportedParameter("This server takes no files in messages.", param)


PARTS: Mapping[str, Callable[[Any, str], dict[str, Any]]] = {
    "text": _text_part,
    "refusal": _text_part,
    "image_url": _picture,
    "input_audio": sound,
    "file": _unsupported_part,
}


def _calls(given: Mapping[str, Any], param: str) -> tuple[dict[str, Any], ...]:
    """The calls an assistant's message made, in the newer spelling or the older one."""
    if given.get("function_call") is not None:
        function = _called(given["function_call"], f"{param}.function_call")
        return ({"id": function["name"], "type": "function", "function": function},)
    if given.get("tool_calls") is None:
        return ()
    found = checks.array(given["tool_calls"], f"{param}.tool_calls", MAX_CALLS)
    return tuple(_call(each, f"{param}.tool_calls[{i}]") for i, each in enumerate(found))


def _call(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 16)
    checks.one_of(given.get("type", "function"), f"{param}.type", ("function",))
    for key in ("id", "function"):
        if key not in given:
            checks.missing(f"{param}.{key}")
    call_id = checks.text(given["id"], f"{param}.id", 256)
    function = _called(given["function"], f"{param}.function")
    return {"id": call_id, "type": "function", "function": function}


def _called(value: Any, param: str) -> dict[str, str]:
    given = checks.mapping(value, param, 8)
    for key in ("name", "arguments"):
        if key not in given:
            checks.missing(f"{param}.{key}")
    arguments = checks.text(given["arguments"], f"{param}.arguments")
    return {"name": tool_name(given["name"], f"{param}.name"), "arguments": arguments}


def _call_id(given: Mapping[str, Any], role: str, param: str) -> str:
    """Which call a result belongs to; the older spelling says the function's name instead."""
    key = "tool_call_id" if role == "tool" else "name"
    if given.get(key) is None:
        checks.missing(f"{param}.{key}")
    return checks.text(given[key], f"{param}.{key}", 256)
