"""The body of a request: JSON with `inputs` and `parameters`, or the bytes of a picture, a sound, a
film by themselves."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from inference.requests import Media
from playground.errors import BadBody, BadValue

from .. import checks
from ..body import raw_body, read_body
from ..pictures import MAX_ADDRESS, is_remote
from . import typed
from .kinds import KINDS, Kind

# What else Hugging Face's clients put beside `inputs`; it changes no answer.
IDLE = ("options", "stream")
MEDIA = {"picture": "image", "sound": "audio", "film": "video"}
DEFAULT_TYPES = {"picture": "image/png", "sound": "audio/wav", "film": "video/mp4"}
MAX_TEXTS = 2048
MAX_MESSAGES = 256
MAX_PARTS = 256
MAX_TABLE = 10_000
FETCHES = "Addresses of pictures are opened only where the operator allows it (REMOTE_MEDIA)."


@dataclass(frozen=True, slots=True)
class Remote:
    """A picture that is to be fetched; `param` is the field that names it."""

    address: str
    param: str


@dataclass(frozen=True, slots=True)
class Body:
    """A checked body; `ignored` names what had no effect."""

    inputs: Any
    parameters: Mapping[str, Any]
    ignored: tuple[str, ...] = ()


def read(request: HttpRequest, task: str) -> Body:
    """What is asked of a model of this task. Raises a typed refusal."""
    if task not in KINDS:
        return _free(request)
    kind = KINDS[task]
    content_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if is_raw(request, content_type):
        return Body(_raw(request, kind, content_type), _required_none(task))
    return from_json(read_body(request), task)


def _free(request: HttpRequest) -> Body:
    """For code with types of its own, which are held against this later."""
    content_type = request.META.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if is_raw(request, content_type):
        return Body(Media(raw_body(request), content_type or "application/octet-stream"), {})
    given = dict(read_body(request))
    inputs, parameters = given.pop("inputs", None), given.pop("parameters", None) or {}
    ignored = tuple(name for name in IDLE if given.pop(name, None))
    if given:
        name = min(given)[:100]
        raise BadValue(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    return Body(inputs, _object(parameters), ignored)


def is_raw(request: HttpRequest, content_type: str) -> bool:
    """Whether the body is bytes of a medium. The Hub's client sends them without any type, curl
    calls everything a form."""
    if content_type.partition("/")[0] in MEDIA.values():
        return True
    if content_type == "application/json":
        return False
    return raw_body(request)[:64].lstrip()[:1] not in (b"{", b"[", b'"', b"")


def _raw(request: HttpRequest, kind: Kind, content_type: str) -> Media:
    if kind.inputs not in MEDIA:
        raise BadBody("This model takes JSON: an object with `inputs` and `parameters`.")
    named = content_type.startswith(MEDIA[kind.inputs])
    return Media(raw_body(request), content_type if named else DEFAULT_TYPES[kind.inputs])


def _required_none(task: str) -> dict[str, Any]:
    """Raw bytes come without parameters; raises BadValue where some have to be."""
    return typed.parameters(task, {})


def from_json(body: Mapping[str, Any], task: str) -> Body:
    """What a JSON body asks for."""
    kind = KINDS[task]
    given = dict(body)
    inputs = given.pop("inputs", None)
    parameters = given.pop("parameters", None)
    parameters = {} if parameters is None else parameters
    ignored = tuple(name for name in IDLE if given.pop(name, None))
    if kind.inputs == "fields" and "image" in kind.fields and "question" in given:
        # The Hub's client sends both beside `inputs`.
        inputs = {name: given.pop(name, None) for name in kind.fields}
    if kind.flat:
        parameters = {**given, **checks.mapping(parameters, "parameters", 100)}
        given = {}
    if given:
        name = min(given)[:100]
        raise BadValue(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    if inputs is None:
        checks.missing("inputs")
    # Where the client's `model` is an address, its table questions say it again.
    parameters = {k: v for k, v in _object(parameters).items() if k != "model"}
    return Body(_inputs(inputs, kind, "inputs"), typed.parameters(task, parameters), ignored)


def _object(value: Any) -> dict[str, Any]:
    return checks.mapping(value, "parameters", 100)


def _inputs(value: Any, kind: Kind, param: str) -> Any:
    if kind.inputs == "text":
        return texts(value, param)
    if kind.inputs in MEDIA:
        return medium(value, kind.inputs, param)
    if kind.inputs == "pictures":
        return _pair(value, param)
    if kind.inputs == "messages":
        return _mixed(value, param)
    return _fields(value, kind, param)


def texts(value: Any, param: str) -> str | list[str]:
    """One text, or several."""
    if isinstance(value, list):
        found = checks.array(value, param, MAX_TEXTS, 1)
        return [checks.text(x, f"{param}[{i}]", typed.MAX_TEXT, 1) for i, x in enumerate(found)]
    return checks.text(value, param, typed.MAX_TEXT, 1)


def medium(value: Any, what: str, param: str) -> Media | Remote:
    """Bytes in base64, plain or as a `data:` URL. An address of a picture may be allowed."""
    text = checks.text(value, param, None, 1)
    head, comma, rest = text[:200].partition(",")
    if text[:8].lower().startswith(("http://", "https://")):
        return _remote(text, what, param)
    content_type = DEFAULT_TYPES[what]
    if comma and head.startswith("data:"):
        content_type = head[5:].partition(";")[0] or content_type
        text = text[len(head) + 1 :]
    try:
        return Media(base64.b64decode(text, validate=True), content_type)
    except (binascii.Error, ValueError):
        checks.bad(param, "expected bytes in base64.", "invalid_base64")


def _remote(address: str, what: str, param: str) -> Remote:
    if what == "picture" and is_remote(address) and len(address) <= MAX_ADDRESS:
        return Remote(address, param)
    reason = FETCHES if what == "picture" else "Addresses are not opened: send the bytes."
    raise BadValue(f"Invalid '{param}': {reason}", param, "invalid_value")


def _pair(value: Any, param: str) -> list[Media | Remote]:
    pair = value.get("images") if isinstance(value, dict) else value
    found = checks.array(pair, param, 2, 2)
    return [medium(each, "picture", f"{param}[{i}]") for i, each in enumerate(found)]


def _fields(value: Any, kind: Kind, param: str) -> dict[str, Any]:
    given = dict(checks.mapping(value, param, 16))
    if "query" in kind.fields and "query" not in given and "question" in given:
        given["query"] = given.pop("question")
    for name in given:
        if name not in kind.fields:
            path = f"{param}.{name[:100]}"
            raise BadValue(f"Unknown parameter: '{path}'.", path, "unknown_parameter")
    found = {}
    for name in kind.fields:
        if given.get(name) is None:
            checks.missing(f"{param}.{name}")
        found[name] = _field(given[name], name, f"{param}.{name}")
    return found


def _field(value: Any, name: str, param: str) -> Any:
    if name == "image":
        return medium(value, "picture", param)
    if name == "sentences":
        found = checks.array(value, param, MAX_TEXTS, 1)
        return [checks.text(x, f"{param}[{i}]", typed.MAX_TEXT, 1) for i, x in enumerate(found)]
    if name == "table":
        return _table(value, param)
    return checks.text(value, param, typed.MAX_TEXT, 1)


def _table(value: Any, param: str) -> dict[str, list[str]]:
    found = {}
    for name, column in checks.mapping(value, param, 1000).items():
        path = f"{param}.{name[:100]}"
        cells = checks.array(column, path, MAX_TABLE)
        found[name] = [_cell(each, f"{path}[{i}]") for i, each in enumerate(cells)]
    return found


def _cell(value: Any, param: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return checks.text(value, param, 10_000)


def _mixed(value: Any, param: str) -> Any:
    """A text, an object of text and media, or messages in OpenAI's form."""
    if isinstance(value, str):
        return checks.text(value, param, typed.MAX_TEXT, 1)
    if isinstance(value, dict):
        return _loose(value, param)
    found = checks.array(value, param, MAX_MESSAGES, 1)
    return [_message(each, f"{param}[{i}]") for i, each in enumerate(found)]


def _loose(value: dict[str, Any], param: str) -> dict[str, Any]:
    names = {"text": "", "images": "picture", "audio": "sound"}
    found: dict[str, Any] = {}
    for name, given in checks.mapping(value, param, 16).items():
        path = f"{param}.{name[:100]}"
        if name not in names:
            raise BadValue(f"Unknown parameter: '{path}'.", path, "unknown_parameter")
        if name == "text":
            found[name] = checks.text(given, path, typed.MAX_TEXT, 1)
            continue
        several = given if isinstance(given, list) else [given]
        checks.array(several, path, 16)
        found[name] = [medium(x, names[name], f"{path}[{i}]") for i, x in enumerate(several)]
    return found


def _message(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 16)
    role = checks.one_of(given.get("role"), f"{param}.role", ("system", "user", "assistant"))
    content = given.get("content")
    if isinstance(content, str):
        return {"role": role, "content": checks.text(content, f"{param}.content", typed.MAX_TEXT)}
    parts = checks.array(content, f"{param}.content", MAX_PARTS, 1)
    return {
        "role": role,
        "content": [_part(each, f"{param}.content[{i}]") for i, each in enumerate(parts)],
    }


def _part(value: Any, param: str) -> dict[str, Any]:
    given = checks.mapping(value, param, 16)
    kind = checks.one_of(
        given.get("type"), f"{param}.type", ("text", "image", "image_url", "audio", "input_audio")
    )
    if kind == "text":
        text = checks.text(given.get("text"), f"{param}.text", typed.MAX_TEXT)
        return {"type": "text", "text": text}
    if kind == "image_url":
        inner = checks.mapping(given.get(kind), f"{param}.{kind}", 16)
        found = medium(inner.get("url"), "picture", f"{param}.{kind}.url")
        return {"type": "image", "image": found}
    if kind == "input_audio":
        inner = checks.mapping(given.get(kind), f"{param}.{kind}", 16)
        return {"type": "audio", "audio": medium(inner.get("data"), "sound", f"{param}.{kind}")}
    what = "picture" if kind == "image" else "sound"
    return {"type": kind, kind: medium(given.get(kind), what, f"{param}.{kind}")}
